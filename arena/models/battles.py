"""Who asked what, and what both sides said."""

from __future__ import annotations

import secrets

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from arena.models.constraints import one_of
from arena.models.contestants import Contestant


def new_public_id() -> str:
    """128 random bits: an address that cannot be guessed.

    Never with a dash in front, which a spreadsheet takes for a formula and a shell for an option.
    """
    while (public_id := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return public_id


class Source(models.Model):
    """Where imported votes came from. This arena's own battles have none."""

    name = models.SlugField(max_length=60, unique=True)
    format = models.CharField(max_length=30)
    url = models.URLField(blank=True)
    licence = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Voter(models.Model):
    """Somebody with a browser. Knows no name and no address."""

    key = models.CharField(max_length=32, unique=True, help_text="Random, kept in a signed cookie.")
    consent_version = models.CharField(max_length=20, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"voter {self.pk}"


class Slot(models.TextChoices):
    A = "a", "A"
    B = "b", "B"


class BattleMode(models.TextChoices):
    BATTLE = "battle", "Battle"
    SIDE_BY_SIDE = "side_by_side", "Side by side"
    DIRECT = "direct", "Direct chat"


class BattleState(models.TextChoices):
    DRAWING = "drawing", "Drawing"
    STREAMING = "streaming", "Streaming"
    READY = "ready", "Ready for a vote"
    VOTED = "voted", "Voted"
    REVEALED = "revealed", "Revealed"
    VOID = "void", "Void"
    EXPIRED = "expired", "Expired"
    ABANDONED = "abandoned", "Abandoned"


class VoidReason(models.TextChoices):
    FAILED = "failed", "A side could not answer"
    TOO_LONG = "too_long", "The text is too long for a model"
    DECLINED = "declined", "The request was declined"
    INTERRUPTED = "interrupted", "The server was interrupted"
    STOPPED = "stopped", "Stopped before both models had answered"
    BUSY = "busy", "Neither side could answer"


class Battle(models.Model):
    Mode = BattleMode
    State = BattleState
    VoidReason = VoidReason
    public_id = models.CharField(max_length=22, unique=True, default=new_public_id, editable=False)
    mode = models.CharField(max_length=12, choices=Mode, default=Mode.BATTLE)
    source = models.ForeignKey(
        Source, on_delete=models.PROTECT, related_name="battles", null=True, blank=True
    )
    external_id = models.CharField(max_length=80, blank=True, help_text="At its source.")
    voter = models.ForeignKey(
        Voter, on_delete=models.PROTECT, related_name="battles", null=True, blank=True
    )
    contestant_a = models.ForeignKey(Contestant, on_delete=models.PROTECT, related_name="+")
    contestant_b = models.ForeignKey(
        Contestant, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    state = models.CharField(max_length=10, choices=State, default=State.DRAWING)
    void_reason = models.CharField(max_length=12, choices=VoidReason, blank=True)
    # The draw, as it was: inverse-propensity weighting needs the probability of the served pair.
    pair_probability = models.FloatField(null=True, blank=True)
    sampler = models.CharField(max_length=30, blank=True, help_text="Name and version.")
    swapped_sides = models.BooleanField(
        default=False, help_text="The fair coin: the first model drawn sits on the right."
    )
    swapped = models.BooleanField(
        default=False,
        db_default=False,  # the release before this one, still running, does not know it
        help_text="A model that failed was replaced by another draw; probability and sampler are "
        "of the pair that was served, given that the failed one was not to be had.",
    )
    parameters = models.JSONField(default=dict, help_text="What both models were asked with.")
    pacing = models.CharField(max_length=10, default="raw")
    consent_version = models.CharField(max_length=20, blank=True)
    continues = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        related_name="continued_by",
        null=True,
        blank=True,
        help_text="The battle whose models, revealed by its vote, are talked to here further.",
    )
    created_at = models.DateTimeField(default=timezone.now)
    ready_at = models.DateTimeField(null=True, blank=True)
    revealed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["voter", "-id"], name="battle_of_voter")]
        constraints = [
            one_of("state", BattleState),
            one_of("mode", BattleMode),
            models.CheckConstraint(
                condition=Q(contestant_b__isnull=True) | ~Q(contestant_a=F("contestant_b")),
                name="battle_two_different_models",
            ),
            models.CheckConstraint(
                condition=Q(mode="direct", contestant_b__isnull=True)
                | (~Q(mode="direct") & Q(contestant_b__isnull=False)),
                name="battle_one_model_only_in_direct_chat",
            ),
            models.CheckConstraint(
                # NULL must be named: a comparison with it is not false, so it would pass.
                condition=~Q(mode="battle")
                | Q(source__isnull=False)
                | Q(
                    pair_probability__isnull=False, pair_probability__gt=0, pair_probability__lte=1
                ),
                name="battle_drawn_with_a_probability",
            ),
            models.CheckConstraint(
                condition=Q(source__isnull=True, external_id="", voter__isnull=False)
                | (Q(source__isnull=False) & ~Q(external_id="")),
                name="battle_own_or_imported",
            ),
            models.UniqueConstraint(
                fields=["source", "external_id"],
                condition=Q(source__isnull=False),
                name="battle_imported_once",
            ),
            models.CheckConstraint(
                condition=(Q(state="void") & ~Q(void_reason=""))
                | (~Q(state="void") & Q(void_reason="")),
                name="battle_void_has_a_reason",
            ),
            models.CheckConstraint(
                condition=Q(revealed_at__isnull=True) | Q(state="revealed"),
                name="battle_revealed_only_when_said_so",
            ),
            models.CheckConstraint(
                condition=Q(continues__isnull=True) | Q(mode="side_by_side"),
                name="battle_continues_with_names_shown",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    def contestant(self, slot: str) -> Contestant:
        chosen = self.contestant_a if slot == Slot.A else self.contestant_b
        assert chosen is not None
        return chosen


class TurnState(models.TextChoices):
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    VOID = "void", "Void"


class Turn(models.Model):
    """One prompt and the answers to it."""

    State = TurnState
    battle = models.ForeignKey(Battle, on_delete=models.CASCADE, related_name="turns")
    number = models.PositiveSmallIntegerField()
    prompt = models.TextField()
    state = models.CharField(max_length=8, choices=State, default=State.RUNNING)
    stop_requested = models.BooleanField(default=False)
    heartbeat_at = models.DateTimeField(help_text="Last sign of the process that owns the streams.")
    watched_at = models.DateTimeField(
        null=True, blank=True, help_text="Last sign of a reader at another process than the owner."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["battle", "number"]
        constraints = [
            one_of("state", TurnState),
            models.UniqueConstraint(fields=["battle", "number"], name="turn_number_once"),
            models.CheckConstraint(condition=Q(number__gte=1), name="turn_number_from_one"),
        ]
        indexes = [
            models.Index(fields=["heartbeat_at"], name="turn_running", condition=Q(state="running"))
        ]

    def __str__(self) -> str:
        return f"{self.battle_id}/{self.number}"


class AnswerState(models.TextChoices):
    QUEUED = "queued", "Queued"
    STARTING = "starting", "Starting"
    STREAMING = "streaming", "Streaming"
    RETRYING = "retrying", "Retrying"
    SWAPPED = "swapped", "Another model was drawn"
    COMPLETE = "complete", "Complete"
    FAILED = "failed", "Failed"


class Answer(models.Model):
    """What one side said to one prompt."""

    State = AnswerState
    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="answers")
    slot = models.CharField(max_length=1, choices=Slot)
    contestant = models.ForeignKey(Contestant, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    text = models.TextField(blank=True)
    reasoning = models.TextField(blank=True)
    citations = models.JSONField(default=list, blank=True)
    earlier = models.JSONField(
        default=list,
        blank=True,
        db_default=models.Value([], models.JSONField()),  # the release before does not know it
        help_text="What it said before the reader had it answer again, oldest first.",
    )
    finish_reason = models.CharField(max_length=20, blank=True)
    stopped = models.BooleanField(default=False, help_text="Cut by the reader's Stop.")
    input_tokens = models.PositiveIntegerField(null=True, blank=True)
    output_tokens = models.PositiveIntegerField(null=True, blank=True)
    tokens_estimated = models.BooleanField(default=False)
    first_token_ms = models.PositiveIntegerField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    # For the administrator only: these name the provider.
    upstream_id = models.CharField(max_length=200, blank=True)
    error_kind = models.CharField(max_length=24, blank=True)
    error_detail = models.TextField(blank=True)

    class Meta:
        ordering = ["turn", "slot"]
        constraints = [
            one_of("state", AnswerState),
            one_of("slot", Slot),
            models.UniqueConstraint(fields=["turn", "slot"], name="answer_slot_once"),
            models.CheckConstraint(
                condition=~Q(state="failed") | ~Q(error_kind=""), name="answer_failed_for_a_reason"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.turn_id}{self.slot}"
