"""`python -m tests.faults.prepare_models < models.json`: contestants, each at its own endpoint.

Each model is an object of `contestant` and `endpoint` fields. Prints their ids.
"""

from __future__ import annotations

import json
import os
import sys

import django
from django.db import transaction


def main() -> None:
    from tests import factories

    with transaction.atomic():
        made = [
            factories.contestant(
                endpoint=factories.endpoint(**model["endpoint"]), **model["contestant"]
            )
            for model in json.load(sys.stdin)
        ]
    json.dump([contestant.pk for contestant in made], sys.stdout)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    main()
