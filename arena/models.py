"""Who meets whom, what they said, who won.

The database refuses what the code should never do: constraints here are the last line, the verb
modules (`battles`, `votes`, `registration`) the first.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone
from django.utils.text import slugify

from arena.attachment_models import Attachment
from arena.backends.base import Target, Timeouts
from arena.key_holder import KeyHolder
from arena.leaks import Identity
from arena.moderation_models import ModerationCategory, ModerationEvent, ModerationSettings
from arena.share_models import Share
from arena.spending_models import MILLIONTHS, NetworkSalt, Reservation, Spending

__all__ = [
    "Attachment",
    "ModerationCategory", "ModerationEvent", "ModerationSettings",
    "NetworkSalt", "Reservation", "Share", "Spending",
]  # fmt: skip


def new_public_id() -> str:
    """128 random bits: an address that cannot be guessed.

    Never with a dash in front, which a spreadsheet takes for a formula and a shell for an option.
    """
    while (public_id := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return public_id


def one_of(field: str, choices: type[models.TextChoices]) -> models.CheckConstraint:
    return models.CheckConstraint(
        condition=Q(**{f"{field}__in": choices.values}), name=f"%(class)s_{field}_known"
    )


def above_zero_or_empty(field: str) -> Q:
    return Q(**{f"{field}__isnull": True}) | Q(**{f"{field}__gt": 0})


def not_below_zero(field: str) -> Q:
    return Q(**{f"{field}__isnull": True}) | Q(**{f"{field}__gte": 0})


class Endpoint(KeyHolder):
    """A server that answers chat requests in one provider's dialect."""

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=20, help_text="A key of backends.registry.ADAPTERS.")
    base_url = models.CharField("base URL", max_length=500)
    enabled = models.BooleanField(default=True, help_text="Off: its models are never drawn.")
    connect_timeout = models.FloatField(default=5, validators=[MinValueValidator(0.1)])
    first_token_timeout = models.FloatField(default=30, validators=[MinValueValidator(0.1)])
    gap_timeout = models.FloatField(default=20, validators=[MinValueValidator(0.1)])
    total_timeout = models.FloatField(default=180, validators=[MinValueValidator(0.1)])
    # Of benchmark runs only: battles have limits of their own.
    evaluation_concurrency = models.PositiveIntegerField(
        "requests at once",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Requests of benchmark runs at once; empty: the setting's.",
    )
    requests_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Of benchmark runs; empty: no limit.",
    )
    tokens_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Of benchmark runs; empty: no limit.",
    )
    # Of battles; a benchmark run has a limit of its own.
    daily_requests = models.PositiveIntegerField(
        "requests a day",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Of battles. From there on its models are not drawn until midnight UTC; empty: "
        "no limit.",
    )
    daily_budget = models.DecimalField(
        "USD a day",
        max_digits=10,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0.01)],
        help_text="The same in money, by the prices below or of each contestant; empty: no limit.",
    )
    price_input = models.DecimalField(
        max_digits=10,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="USD per million tokens, of contestants that have no price.",
    )
    price_output = models.DecimalField(
        max_digits=10,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="USD per million tokens, of contestants that have no price.",
    )
    local = models.BooleanField(
        default=False, editable=False, help_text="Served by this machine's `make run`."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(connect_timeout__gt=0, first_token_timeout__gt=0)
                & Q(gap_timeout__gt=0, total_timeout__gt=0),
                name="endpoint_timeouts_positive",
            ),
            models.CheckConstraint(
                condition=above_zero_or_empty("evaluation_concurrency")
                & above_zero_or_empty("requests_per_minute")
                & above_zero_or_empty("tokens_per_minute"),
                name="endpoint_limits_positive",
            ),
            models.CheckConstraint(
                condition=above_zero_or_empty("daily_requests")
                & above_zero_or_empty("daily_budget")
                & not_below_zero("price_input")
                & not_below_zero("price_output"),
                name="endpoint_money_makes_sense",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def target(self) -> Target:
        return Target(
            kind=self.kind,
            base_url=self.base_url,
            api_key=self.api_key(),
            timeouts=Timeouts(
                connect=self.connect_timeout,
                first_token=self.first_token_timeout,
                gap=self.gap_timeout,
                total=self.total_timeout,
            ),
        )


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


class ContestantQuerySet(models.QuerySet["Contestant"]):
    def hidden_ids(self) -> list[int]:
        """Ids of those that are not public."""
        return list(self.filter(status__in=HIDDEN_STATUSES).values_list("pk", flat=True))

    def in_battles(self) -> ContestantQuerySet:
        """Those that the administrator wants to be drawn."""
        return self.filter(
            status__in=[Contestant.Status.ACTIVE, Contestant.Status.PREVIEW],
            endpoint__enabled=True,
            weight__gt=0,
        ).select_related("endpoint")

    def drawable(self) -> ContestantQuerySet:
        """Those a battle may be drawn from now: no breaker is open for them, and what their
        endpoint may be asked today is not used up."""
        out = Breaker.objects.blocking()
        used_up = Spending.objects.today_of_endpoint(OuterRef("endpoint_id")).filter(
            Q(requests__gte=OuterRef("endpoint__daily_requests"))
            | Q(total__gte=OuterRef("endpoint__daily_budget") * MILLIONTHS)
        )
        return self.in_battles().filter(
            ~Exists(out.filter(endpoint=OuterRef("endpoint"))),
            ~Exists(out.filter(contestant=OuterRef("pk"))),
            ~Exists(used_up),
        )


class ContestantStatus(models.TextChoices):
    DRAFT = "draft", "Draft: never drawn"
    PREVIEW = "preview", "Preview: drawn under an anonymous name"
    ACTIVE = "active", "Active"
    PAUSED = "paused", "Paused"
    RETIRED = "retired", "Retired: keeps its votes"
    IMPORTED = "imported", "Imported: rated, never drawn"


# Not public: no page, no export and no published rating names them or counts their votes.
HIDDEN_STATUSES = (ContestantStatus.DRAFT, ContestantStatus.PREVIEW)


class Contestant(models.Model):
    """One model in the ratings, under one public name, behind one endpoint."""

    Status = ContestantStatus
    name = models.CharField(max_length=100, unique=True, help_text="Shown after the vote.")
    slug = models.SlugField(max_length=110, unique=True, editable=False)
    endpoint = models.ForeignKey(
        Endpoint,
        on_delete=models.PROTECT,
        related_name="contestants",
        null=True,
        blank=True,
        help_text="Empty for a model that is known from imported votes alone.",
    )
    upstream_model = models.CharField(
        "model at the endpoint",
        max_length=200,
        blank=True,
        help_text="The `model` sent with each request.",
    )
    organisation = models.CharField(max_length=100, blank=True)
    aliases = models.TextField(
        "other names",
        blank=True,
        db_default="",  # the release before this one, still running, does not know it
        help_text="One a line. An answer that gives one of them away does not count, as with the "
        "name itself. Never shown.",
    )
    licence = models.CharField(max_length=100, blank=True)
    licence_url = models.URLField(blank=True)
    url = models.URLField("home page", blank=True)
    description = models.TextField(blank=True)
    parameters = models.CharField(max_length=30, blank=True, help_text="For example 7B.")
    quantisation = models.CharField(max_length=30, blank=True, help_text="For example Q4_K_M.")
    context_length = models.PositiveIntegerField(null=True, blank=True, help_text="Tokens.")
    price_input = models.DecimalField(
        max_digits=10, decimal_places=4, null=True, blank=True, help_text="USD per million tokens."
    )
    price_output = models.DecimalField(
        max_digits=10, decimal_places=4, null=True, blank=True, help_text="USD per million tokens."
    )
    memory_gb = models.FloatField("memory needed", null=True, blank=True, help_text="Gigabytes.")
    knowledge_cutoff = models.CharField(max_length=20, blank=True, help_text="For example 2025-01.")
    open_weights = models.BooleanField(null=True, blank=True)
    vision = models.BooleanField(
        "reads images",
        default=False,
        db_default=False,  # the release before this one, still running, does not know it
        help_text="Questions with images are only put to such models. A probe with an image, on "
        "the page of its endpoint, shows whether it does.",
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.DRAFT)
    weight = models.FloatField(
        "sampling weight",
        default=1.0,
        validators=[MinValueValidator(0)],
        help_text="Relative chance of being drawn; 0 is never.",
    )
    weight_reason = models.CharField(
        "reason for the weight",
        max_length=200,
        blank=True,
        db_default="",  # the release before this one, still running, does not know it
        help_text="Published with the weight. Needed for any weight but 1.",
    )
    only_meets = models.ManyToManyField(
        "self",
        symmetrical=False,
        blank=True,
        related_name="+",
        help_text="Strict targets: it is drawn only against these. None: against every other.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ContestantQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            one_of("status", ContestantStatus),
            models.CheckConstraint(
                condition=Q(weight__gte=0), name="contestant_weight_not_negative"
            ),
            models.CheckConstraint(
                condition=(Q(endpoint__isnull=False) & ~Q(upstream_model=""))
                | Q(status__in=["draft", "retired", "imported"]),
                name="contestant_answers_through_an_endpoint",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self.slug:
            self.slug = self._free_slug()
        super().save(*args, **kwargs)

    def identity(self) -> Identity:
        aliases = tuple(alias.strip() for alias in self.aliases.splitlines())
        return Identity(self.name, self.organisation, tuple(filter(None, aliases)))

    def _free_slug(self) -> str:
        base = slugify(self.name)[:100] or "model"
        taken = set(Contestant.objects.filter(slug__startswith=base).values_list("slug", flat=True))
        number = 1
        while (slug := base if number == 1 else f"{base}-{number}") in taken:
            number += 1
        return slug


class BreakerQuerySet(models.QuerySet["Breaker"]):
    def blocking(self) -> BreakerQuerySet:
        """Those that keep models out of battles now."""
        return self.filter(
            Q(state=Breaker.State.OPEN) | Q(state=Breaker.State.PAUSED, until__gt=timezone.now())
        )

    def due(self) -> BreakerQuerySet:
        """Those whose next probe is due."""
        return self.filter(state=Breaker.State.OPEN, until__lte=timezone.now())


class BreakerState(models.TextChoices):
    CLOSED = "closed", "In battles"
    OPEN = "open", "Out of battles"
    PAUSED = "paused", "Paused, as it asked"


class Breaker(models.Model):
    """Whether an endpoint, or one model of it, is kept out of battles: the same for all processes.

    A row appears with the first failure and stays, so that a second outage soon after the first
    is known as such.
    """

    State = BreakerState
    endpoint = models.OneToOneField(
        Endpoint, on_delete=models.CASCADE, related_name="breaker", null=True, blank=True
    )
    contestant = models.OneToOneField(
        Contestant, on_delete=models.CASCADE, related_name="breaker", null=True, blank=True
    )
    state = models.CharField(max_length=6, choices=State, default=State.CLOSED)
    reason = models.CharField(max_length=24, blank=True, help_text="The kind of the last failure.")
    detail = models.TextField(blank=True, help_text="Upstream words: for the administrator only.")
    since = models.DateTimeField(default=timezone.now, help_text="The last change of state.")
    until = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Open: the next probe, or none before an administrator has looked. "
        "Paused: the end of the pause.",
    )
    openings = models.PositiveSmallIntegerField(
        default=0, help_text="In a row, without a long healthy time between them."
    )

    objects = BreakerQuerySet.as_manager()

    class Meta:
        constraints = [
            one_of("state", BreakerState),
            models.CheckConstraint(
                condition=Q(endpoint__isnull=False, contestant__isnull=True)
                | Q(endpoint__isnull=True, contestant__isnull=False),
                name="breaker_of_one_thing",
            ),
            models.CheckConstraint(
                condition=Q(state="closed", until__isnull=True)
                | Q(state="paused", until__isnull=False)
                | Q(state="open"),
                name="breaker_end_fits_its_state",
            ),
            models.CheckConstraint(
                condition=Q(state="closed") | ~Q(reason=""), name="breaker_open_for_a_reason"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.endpoint or self.contestant}: {self.state}"

    @property
    def is_blocking(self) -> bool:
        """Whether it keeps models out of battles now; the same as `blocking` for many."""
        if self.state == Breaker.State.PAUSED:
            return self.until is not None and self.until > timezone.now()
        return self.state == Breaker.State.OPEN


class RequestPurpose(models.TextChoices):
    BATTLE = "battle", "Battle"
    PROBE = "probe", "Probe"


class UpstreamRequest(models.Model):
    """One attempt to get an answer from an endpoint, and what came of it. Pruned after a time."""

    Purpose = RequestPurpose
    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    contestant = models.ForeignKey(
        Contestant, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    purpose = models.CharField(max_length=6, choices=Purpose)
    at = models.DateTimeField(default=timezone.now, help_text="When it ended.")
    outcome = models.CharField(max_length=24, help_text="answered, cancelled or a kind of failure.")
    first_token_ms = models.PositiveIntegerField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField()
    output_tokens = models.PositiveIntegerField(null=True, blank=True)
    detail = models.TextField(blank=True, help_text="Upstream words: for the administrator only.")

    class Meta:
        ordering = ["-at", "-id"]
        constraints = [
            one_of("purpose", RequestPurpose),
            models.CheckConstraint(condition=~Q(outcome=""), name="upstreamrequest_has_an_outcome"),
        ]
        indexes = [
            models.Index(fields=["endpoint", "-at"], name="request_of_endpoint"),
            models.Index(fields=["contestant", "-at"], name="request_of_contestant"),
            models.Index(fields=["at"], name="request_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.contestant_id} {self.at:%Y-%m-%d %H:%M:%S}: {self.outcome}"


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


class VoteQuerySet(models.QuerySet["Vote"]):
    def public(self) -> VoteQuerySet:
        """Without those on models whose names are not public yet."""
        hidden = Contestant.objects.hidden_ids()
        if not hidden:  # usually: saves two joins over all votes
            return self
        return self.exclude(battle__contestant_a__in=hidden).exclude(
            battle__contestant_b__in=hidden
        )

    def due(self) -> VoteQuerySet:
        """Votes whose effect on the pair counts is not yet applied, oldest first."""
        return self.filter(tally_due=True).order_by("id")


class VoteChoice(models.TextChoices):
    A = "a", "A is better"
    B = "b", "B is better"
    TIE = "tie", "Both are good"
    BOTH_BAD = "both_bad", "Both are bad"


class VoteStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    COUNTED = "counted", "Counted"
    HELD = "held", "Held"
    EXCLUDED = "excluded", "Excluded"


class ExclusionReason(models.TextChoices):
    NAMES_SHOWN = "names_shown", "The models' names were shown"
    ADMINISTRATOR = "administrator", "Excluded by an administrator"
    IDENTITY_LEAK = "identity_leak", "An answer said who wrote it"
    REPEATED_PROMPT = "repeated_prompt", "One of very many votes on the same prompt"
    SAME_PROMPT = "same_prompt", "Another vote of the same person on the same prompt"
    DAILY_LIMIT = "daily_limit", "Beyond what one person's votes of a day may count"


class Vote(models.Model):
    """One judgement of one battle: inserted once, never deleted, its choice never changed.

    The row is its own outbox entry. `status` says what the vote should be, `tallied` whether the
    pair counts hold it now, `tally_due` that the two may differ: the worker settles such rows
    (leaderboard.tally), so a lost, late or repeated Celery message does no harm.
    """

    Choice = VoteChoice
    Status = VoteStatus
    Exclusion = ExclusionReason
    battle = models.OneToOneField(Battle, on_delete=models.PROTECT, related_name="vote")
    voter = models.ForeignKey(
        Voter,
        on_delete=models.PROTECT,
        related_name="votes",
        null=True,
        blank=True,
        help_text="Unknown only for imported votes.",
    )
    choice = models.CharField(max_length=8, choices=Choice)
    turn = models.PositiveSmallIntegerField(help_text="The number of turns judged.")
    visible_ms = models.PositiveIntegerField(
        null=True, blank=True, help_text="How long both whole answers were on the voter's screen."
    )
    before_finished = models.BooleanField(default=False)
    tags = models.JSONField(default=list, blank=True)
    comment = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    status = models.CharField(max_length=8, choices=Status, default=Status.PENDING)
    exclusion_reason = models.CharField(max_length=20, choices=Exclusion, blank=True)
    tallied = models.BooleanField(default=False)
    tally_due = models.BooleanField(default=True)

    objects = VoteQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            one_of("choice", VoteChoice),
            one_of("status", VoteStatus),
            models.CheckConstraint(
                condition=(Q(status="excluded") & ~Q(exclusion_reason=""))
                | (~Q(status="excluded") & Q(exclusion_reason="")),
                name="vote_excluded_for_a_reason",
            ),
            models.CheckConstraint(
                condition=Q(tally_due=True)
                | Q(status="counted", tallied=True)
                | Q(status__in=["held", "excluded"], tallied=False)
                # Held by the counts of those categories alone that ask for such votes.
                | Q(status="excluded", exclusion_reason="identity_leak", tallied=True),
                name="vote_settled_means_settled",
            ),
        ]
        indexes = [
            # Keeps the sweep O(pending), whatever the number of votes.
            models.Index(fields=["id"], name="vote_tally_due", condition=Q(tally_due=True)),
            models.Index(fields=["voter", "created_at"], name="vote_of_voter"),
        ]

    def __str__(self) -> str:
        return f"{self.battle_id}: {self.choice}"
