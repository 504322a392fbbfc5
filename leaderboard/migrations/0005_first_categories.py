from django.db import migrations

CATEGORIES = [
    # slug, name, group, rule, description
    ("overall", "Overall", "overall", {}, "Every counted vote."),
    ("exclude-ties", "Exclude ties", "form", {"outcomes": ["lo", "hi"]}, "Votes with a winner."),
    ("no-refusal", "Exclude refusals", "form", {"not": {"flag": "refusal"}}, "Battles in which neither model refused."),
    ("multi-turn", "Multi-turn", "form", {"min": {"turns": 2}}, "Two questions or more."),
    ("long-query", "Long query", "form", {"min": {"prompt_tokens": 500}}, "Questions of 500 tokens or more."),
    ("coding", "Coding", "topic", {"flag": "code"}, "Code in the question or an answer."),
    ("math", "Math", "topic", {"flag": "math"}, "Calculations, proofs and formulas."),
    ("instruction-following", "Instruction following", "topic", {"flag": "instructions"}, "Questions that say how the answer must look."),
    ("creative-writing", "Creative writing", "topic", {"flag": "creative"}, "Stories, poems, scripts."),
    ("english", "English", "language", {"language": "en"}, ""),
    ("chinese", "Chinese", "language", {"language": "zh"}, ""),
    ("spanish", "Spanish", "language", {"language": "es"}, ""),
    ("german", "German", "language", {"language": "de"}, ""),
    ("french", "French", "language", {"language": "fr"}, ""),
    ("russian", "Russian", "language", {"language": "ru"}, ""),
    ("japanese", "Japanese", "language", {"language": "ja"}, ""),
    ("korean", "Korean", "language", {"language": "ko"}, ""),
    ("portuguese", "Portuguese", "language", {"language": "pt"}, ""),
    ("italian", "Italian", "language", {"language": "it"}, ""),
]


def create(apps, schema_editor):
    categories = apps.get_model("leaderboard", "Category").objects.using(schema_editor.connection.alias)
    for position, (slug, name, group, rule, description) in enumerate(CATEGORIES):
        categories.update_or_create(
            slug=slug,
            defaults={
                "name": name,
                "group": group,
                "rule": rule,
                "description": description,
                "position": position,
                # What was counted before has no features yet.
                "stale": slug != "overall",
            },
        )


class Migration(migrations.Migration):
    dependencies = [("leaderboard", "0004_categories_and_methods")]

    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
