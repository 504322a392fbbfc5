"""`python -m tests.faults.prepare_battles N`: N battles ready for a vote, described as JSON."""

from __future__ import annotations

import json
import os
import sys

import django
from django.db import transaction


def main(number: int) -> None:
    from django.core.signing import Signer

    from tests import factories

    sign = Signer(salt="arena.voter").sign
    with transaction.atomic():
        models = [factories.contestant() for _ in range(6)]
        pairs = [(a, b) for a in models for b in models if a != b]
        battles = [
            factories.battle(contestant_a=a, contestant_b=b)
            for a, b in (pairs[i % len(pairs)] for i in range(number))
        ]
    json.dump(
        [
            {
                "id": battle.pk,
                "public_id": battle.public_id,
                "a": battle.contestant_a_id,
                "b": battle.contestant_b_id,
                "cookie": sign(battle.voter.key),
            }
            for battle in battles
        ],
        sys.stdout,
    )


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    main(int(sys.argv[1]))
