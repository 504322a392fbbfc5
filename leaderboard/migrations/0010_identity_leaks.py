from django.db import migrations, models


def create(apps, schema_editor):
    votes = apps.get_model("arena", "Vote").objects.using(schema_editor.connection.alias)
    categories = apps.get_model("leaderboard", "Category").objects.using(schema_editor.connection.alias)
    categories.update_or_create(
        slug="with-identity-leaks",
        defaults={
            "name": "With identity leaks",
            "group": "form",
            "rule": {"leaks": True},
            "description": "Overall, and the votes on answers that said who wrote them.",
            "position": 4,
            "stale": votes.filter(tallied=True).exists(),
        },
    )


class Migration(migrations.Migration):

    dependencies = [
        ("leaderboard", "0009_sampling_reasons"),
    ]

    operations = [
        migrations.AddField(
            model_name="votefeatures",
            name="identity_leak",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="An answer said who wrote it (arena/leaks.py).",
            ),
        ),
        migrations.RunPython(create, migrations.RunPython.noop),
    ]
