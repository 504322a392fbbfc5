from django.db import migrations, models


def nothing_to_rebuild(apps, schema_editor):
    """Where nothing has been counted yet, the categories of 0005 are right as they are: empty."""
    alias = schema_editor.connection.alias
    if not apps.get_model("arena", "Vote").objects.using(alias).filter(tallied=True).exists():
        apps.get_model("leaderboard", "Category").objects.using(alias).update(stale=False)


class Migration(migrations.Migration):
    dependencies = [("arena", "0003_imported_votes"), ("leaderboard", "0005_first_categories")]

    operations = [
        migrations.AddField(
            model_name="category",
            name="rebuilt_through",
            field=models.BigIntegerField(
                default=0,
                editable=False,
                help_text="While stale: the counts hold the votes up to this id, and no others.",
            ),
        ),
        migrations.AddField(
            model_name="votefeatures",
            name="prompt_key",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Equal for votes of this arena on the same first prompt; else empty.",
                max_length=32,
            ),
            preserve_default=False,
        ),
        migrations.AddIndex(
            model_name="votefeatures",
            index=models.Index(
                condition=models.Q(("prompt_key", ""), _negated=True),
                fields=["prompt_key"],
                name="features_prompt_key",
            ),
        ),
        migrations.RunPython(nothing_to_rebuild, migrations.RunPython.noop),
    ]
