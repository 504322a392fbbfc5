"""Votes of another arena, with what their texts looked like."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from arena.models import Vote
from leaderboard.models import VoteFeatures
from tests import factories

SINCE = datetime(2026, 1, 1, tzinfo=UTC)


def imported_votes(number: int, *, models: int = 4, seed: int = 0) -> list[Vote]:
    """Pending votes, one a minute, every other one on a German prompt; longer answers win more
    often than not. Three voters take turns."""
    rng = np.random.default_rng(seed)
    source = factories.source()
    contestants = [
        factories.contestant(status="imported", endpoint=None, upstream_model="")
        for _ in range(models)
    ]
    voters = [factories.voter() for _ in range(3)]
    made = []
    for i in range(number):
        a, b = rng.choice(models, 2, replace=False)
        figures = {
            f"{style}_{side}": int(rng.poisson(mean))
            for style, mean in (("tokens", 200), ("headers", 2), ("lists", 5), ("bold", 4))
            for side in "ab"
        }
        lead = 0.3 * (b - a) + 0.02 * (figures["tokens_a"] - figures["tokens_b"])
        first_wins = rng.random() < 1 / (1 + np.exp(-lead))
        battle = factories.imported_battle(
            source=source,
            contestant_a=contestants[a],
            contestant_b=contestants[b],
            voter=voters[i % 3],
            created_at=SINCE + timedelta(minutes=i),
        )
        vote = Vote.objects.create(
            battle=battle,
            voter=battle.voter,
            choice=("tie", "both_bad")[i % 2] if rng.random() < 0.2 else "ab"[not first_wins],
            turn=1,
            created_at=battle.created_at,
        )
        VoteFeatures.objects.create(
            vote=vote,
            language="de" if i % 2 else "en",
            turns=1 + i % 3 // 2,
            prompt_tokens=i * 37 % 900,
            code=i % 4 == 0,
            math=i % 7 == 0,
            **figures,
        )
        made.append(vote)
    return made
