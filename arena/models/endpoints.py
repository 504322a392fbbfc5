"""Servers that answer, what is known of their health, and every request sent to them."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from arena.backends.base import Target, Timeouts
from arena.key_holder import KeyHolder
from arena.models.constraints import above_zero_or_empty, not_below_zero, one_of


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
        "arena.Contestant", on_delete=models.CASCADE, related_name="breaker", null=True, blank=True
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
        "arena.Contestant", on_delete=models.CASCADE, related_name="+", db_index=False
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
