"""A large arena to try things on: made-up models, battles and votes in the database."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import numpy as np
from django.core.management import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone
from tqdm import tqdm

from arena.models import Battle, Contestant, Source, Vote, Voter
from leaderboard.models import VoteFeatures
from leaderboard.ratings.counts import Outcome
from leaderboard.ratings.simulate import Population, VoteBlock, draw_population, simulate_votes

SOURCE = "generated"
BATCH = 10_000
PERIOD = timedelta(days=365)
LANGUAGES = ("en", "zh", "ru", "de", "es", "fr", "ja", "pt", "ko", "it", "")
LANGUAGE_SHARES = (0.5, 0.1, 0.08, 0.05, 0.05, 0.05, 0.04, 0.04, 0.03, 0.02, 0.04)
FLAG_SHARES = {
    "code": 0.25,
    "math": 0.1,
    "creative": 0.12,
    "instructions": 0.3,
    "refusal": 0.03,
}
CHOICES = {
    Outcome.FIRST: Vote.Choice.A,
    Outcome.SECOND: Vote.Choice.B,
    Outcome.TIE: Vote.Choice.TIE,
    Outcome.BOTH_BAD: Vote.Choice.BOTH_BAD,
}


class Command(BaseCommand):
    help = (
        "Fill the database with made-up models and votes (source `generated`), to be counted. "
        "The same numbers and seed give the same votes."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--votes", type=int, default=10_000)
        parser.add_argument("--models", type=int, default=30)
        parser.add_argument("--voters", type=int, default=10_000)
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument(
            "--yes", action="store_true", help="although this arena has votes of its own"
        )

    def handle(
        self, *, votes: int, models: int, voters: int, seed: int, yes: bool, **options: Any
    ) -> None:
        if not yes and Vote.objects.filter(battle__source=None).exists():
            raise CommandError(
                "This arena has votes of its own, and made-up ones would be rated with them. "
                "Use another database, or --yes."
            )
        if Source.objects.filter(name=SOURCE).exists():
            raise CommandError("This database has generated votes already. Use another one.")
        try:
            population = draw_population(models, seed=seed, voters=voters)
            blocks = simulate_votes(population, votes, seed=seed)
        except ValueError as error:
            raise CommandError(f"{error}.") from None
        fill = _Filling(population, votes=votes, seed=seed, until=timezone.now())
        with tqdm(total=votes, unit=" votes", file=sys.stderr, disable=None) as bar:
            for block in blocks:
                bar.update(fill.add(block))
        self.stdout.write(f"Made {votes} votes on {models} models. A worker counts them.")


class _Filling:
    def __init__(self, population: Population, *, votes: int, seed: int, until: datetime) -> None:
        self.votes = votes
        self.done = 0
        self.since = until - PERIOD
        self.source = Source.objects.create(name=SOURCE, format="generated")
        names = [f"Generated model {i:03}" for i in range(1, population.strengths.size + 1)]
        self.models = [
            Contestant.objects.create(
                name=name, status=Contestant.Status.IMPORTED, organisation=f"Maker {i % 12 + 1}"
            ).pk
            for i, name in enumerate(names)
        ]
        self.voters = [
            voter.pk
            for voter in Voter.objects.bulk_create(
                (Voter(key=f"generated-{seed}-{i}") for i in range(population.voters)),
                batch_size=BATCH,
            )
        ]
        self.probability = population.pair_probabilities()
        self.probability = self.probability + self.probability.T
        self.rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7,)))
        # How much each model writes: style then is a trait, as with real models.
        self.wordiness = self.rng.normal(5.5, 0.4, population.strengths.size)

    def add(self, block: VoteBlock) -> int:
        """Store one block; returns its number of votes."""
        battles = self._battles(block)
        features = self._features(block)
        columns = zip(battles, block.outcome.tolist(), strict=True)
        with transaction.atomic():
            while batch := list(islice(columns, BATCH)):
                made = Battle.objects.bulk_create(battle for battle, _ in batch)
                votes = Vote.objects.bulk_create(
                    Vote(
                        battle=battle,
                        voter_id=battle.voter_id,
                        choice=CHOICES[Outcome(outcome)],
                        turn=1,
                        created_at=battle.created_at,
                    )
                    for battle, (_, outcome) in zip(made, batch, strict=True)
                )
                VoteFeatures.objects.bulk_create(
                    VoteFeatures(vote=vote, **next(features)) for vote in votes
                )
        self.done += block.first.size
        return int(block.first.size)

    def _battles(self, block: VoteBlock) -> Iterator[Battle]:
        for i, (a, b, voter) in enumerate(
            zip(block.first.tolist(), block.second.tolist(), block.voter.tolist(), strict=True),
            self.done,
        ):
            yield Battle(
                source=self.source,
                external_id=str(i),
                voter_id=self.voters[voter],
                contestant_a_id=self.models[a],
                contestant_b_id=self.models[b],
                state=Battle.State.VOTED,
                pair_probability=float(self.probability[a, b]),
                created_at=self.since + PERIOD * (i / self.votes),
            )

    def _features(self, block: VoteBlock) -> Iterator[dict[str, Any]]:
        n, rng = block.first.size, self.rng
        columns: dict[str, list[Any]] = {
            "language": rng.choice(LANGUAGES, n, p=LANGUAGE_SHARES).tolist(),
            "turns": np.minimum(rng.geometric(0.75, n), 10).tolist(),
            "prompt_tokens": rng.lognormal(4.0, 1.2, n).astype(np.int64).tolist(),
        }
        for flag, share in FLAG_SHARES.items():
            columns[flag] = (rng.random(n) < share).tolist()
        for side, at in (("a", block.first), ("b", block.second)):
            tokens = np.exp(rng.normal(self.wordiness[at], 0.6))
            columns[f"tokens_{side}"] = tokens.astype(np.int64).tolist()
            for style, per_token in (("headers", 0.005), ("lists", 0.02), ("bold", 0.015)):
                columns[f"{style}_{side}"] = rng.poisson(tokens * per_token).tolist()
        for row in zip(*columns.values(), strict=True):
            yield dict(zip(columns, row, strict=True))
