"""How the arena is set: who meets whom, and how answers leave."""

from __future__ import annotations

import time

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from arena.models.constraints import one_of


class SamplerChoice(models.TextChoices):
    UNIFORM = "uniform", "By weight alone"
    ACTIVE = "active", "Active: favours the pairs whose difference is least certain"


class Pacing(models.TextChoices):
    RAW = "raw", "Raw: as the text comes"
    PACED = "paced", "Paced: both sides on one clock"
    TOGETHER = "together", "Together: both answers when both are complete"


def default_pacing() -> str:
    """That of the profile, until an administrator chooses."""
    return settings.DEFAULT_PACING


class ArenaSettings(models.Model):
    """What an administrator may change of all battles from now on. One row, or none: the defaults.

    Changed through `arena_settings.change`, which counts the versions; each battle carries its own.
    """

    Sampler = SamplerChoice
    Pacing = Pacing
    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    sampler = models.CharField(max_length=8, choices=Sampler, default=Sampler.UNIFORM)
    active_floor = models.FloatField(
        "floor of the active sampler",
        default=0.5,
        validators=[MinValueValidator(0.01), MaxValueValidator(1)],
        help_text="The share of battles that are drawn by weight all the same, from 0.01 to 1: "
        "every pair keeps a chance, and a new model is not in nearly every battle.",
    )
    needs_max_age_hours = models.PositiveIntegerField(
        "oldest ratings, in hours",
        default=48,
        validators=[MinValueValidator(1)],
        help_text="The active sampler draws by weight alone when what it knows of the ratings is "
        "older.",
    )
    pacing = models.CharField(
        max_length=8,
        choices=Pacing,
        default=default_pacing,
        help_text="How the text of both sides reaches the browser.",
    )
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = verbose_name_plural = "arena settings"
        constraints = [
            one_of("sampler", SamplerChoice),
            one_of("pacing", Pacing),
            models.CheckConstraint(condition=Q(id=1), name="arenasettings_only_one"),
            models.CheckConstraint(
                condition=Q(active_floor__gt=0, active_floor__lte=1),
                name="arenasettings_floor_is_a_share",
            ),
            models.CheckConstraint(
                condition=Q(version__gte=1, needs_max_age_hours__gte=1),
                name="arenasettings_from_one",
            ),
        ]

    def __str__(self) -> str:
        return f"Arena settings, version {self.version}"

    @classmethod
    def current(cls) -> ArenaSettings:
        """The settings in force, at most SETTINGS_RECHECK_SECONDS old. To be read, not changed."""
        global _settings_known
        asked, known = _settings_known
        if known is None or time.monotonic() - asked >= settings.SETTINGS_RECHECK_SECONDS:
            known = cls.objects.filter(pk=1).first() or cls()
            _settings_known = (time.monotonic(), known)
        return known


_settings_known: tuple[float, ArenaSettings | None] = (0.0, None)


class PairNeeds(models.Model):
    """How much each pair of models needs another vote, as the ratings see it: for the sampler.

    Written by the leaderboard (`leaderboard.pair_needs`); the newest row counts.
    """

    contestants = models.JSONField(help_text="The models' ids; pairs come in their order.")
    needs = models.BinaryField(help_text="Of every pair, as `pairing.pack_needs` gives it.")
    votes = models.PositiveIntegerField(help_text="How many votes it was computed from.")
    made_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "pair needs"
        get_latest_by = "pk"
        constraints = [
            models.CheckConstraint(condition=~Q(needs=b""), name="pairneeds_hold_something")
        ]

    def __str__(self) -> str:
        return f"{self.made_at:%Y-%m-%d %H:%M:%S}: {self.votes} votes"
