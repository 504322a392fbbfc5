from django.db import migrations


def create_overall(apps, schema_editor):
    category = apps.get_model("leaderboard", "Category")
    category.objects.using(schema_editor.connection.alias).get_or_create(
        slug="overall", defaults={"name": "Overall", "position": 0}
    )


class Migration(migrations.Migration):
    dependencies = [("leaderboard", "0001_initial")]

    operations = [migrations.RunPython(create_overall, migrations.RunPython.noop)]
