"""Datasets, tasks, and runs whose state is rows: one for each item and epoch.

A worker may die at any instruction. What it had not committed is done again by another, and the
constraints here make sure that "again" never means "twice".
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from arena.models import Contestant, Endpoint, one_of


class Immutable(Exception):
    """A task that runs have used is what those runs were asked; a change is another version."""


class Dataset(models.Model):
    """The items of one split. The same items under the same name are the same dataset."""

    name = models.CharField(max_length=100)
    split = models.CharField(max_length=50)
    version = models.CharField(max_length=71, help_text="sha256: over its items, in their order.")
    format = models.CharField(max_length=30)
    licence = models.CharField(max_length=100, blank=True)
    public = models.BooleanField(default=True, help_text="Off: its items are shown to staff only.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "split", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["name", "split", "version"], name="dataset_once"),
            models.CheckConstraint(
                condition=Q(version__regex=r"^sha256:[0-9a-f]{64}$"), name="dataset_version_is_sha"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}/{self.split}"


class Item(models.Model):
    """One question, with what its benchmark keeps beside it."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveIntegerField(help_text="In the dataset, from 0.")
    external_id = models.CharField(max_length=200, help_text="The benchmark's own name for it.")
    hash = models.CharField(max_length=64)
    fields = models.JSONField()

    class Meta:
        ordering = ["dataset", "position"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "position"], name="item_position_once"),
            models.UniqueConstraint(fields=["dataset", "hash"], name="item_hash_once"),
            models.UniqueConstraint(fields=["dataset", "external_id"], name="item_id_once"),
        ]

    def __str__(self) -> str:
        return self.external_id


class TaskDefinition(models.Model):
    """A task file as it was registered; `evaluation.definitions` reads `spec`."""

    slug = models.CharField(max_length=100)
    task_version = models.CharField(max_length=50)
    spec = models.JSONField()
    spec_sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["slug", "task_version"], name="task_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.slug} {self.task_version}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk and self.runs.exclude(spec_sha256=self.spec_sha256).exists():
            raise Immutable(f"{self} has been run: register the change as another task_version")
        super().save(*args, **kwargs)


class RunState(models.TextChoices):
    DRAFT = "draft", "Draft"
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    PAUSED = "paused", "Paused"
    SCORING = "scoring", "Scoring"
    COMPLETED = "completed", "Completed"
    INCOMPLETE = "incomplete", "Incomplete: too many errors"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


OVER = (RunState.COMPLETED, RunState.INCOMPLETE, RunState.FAILED, RunState.CANCELLED)
SCORED = (RunState.COMPLETED, RunState.INCOMPLETE)


class RunQuerySet(models.QuerySet["Run"]):
    def unfinished(self) -> RunQuerySet:
        return self.exclude(state__in=OVER)

    def to_be_run(self) -> RunQuerySet:
        """Those a worker should be at, whether one is or not."""
        return self.filter(state__in=[RunState.QUEUED, RunState.RUNNING, RunState.SCORING])


class Run(models.Model):
    """One task asked of one contestant."""

    State = RunState
    task = models.ForeignKey(TaskDefinition, on_delete=models.PROTECT, related_name="runs")
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="runs")
    contestant = models.ForeignKey(Contestant, on_delete=models.PROTECT, related_name="runs")
    state = models.CharField(max_length=10, choices=State, default=State.DRAFT)
    reason = models.TextField(blank=True, help_text="Why it is paused or has failed.")
    limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Only the first so many items; such a run is not ranked."
    )
    judge = models.ForeignKey(
        Contestant,
        on_delete=models.PROTECT,
        related_name="judged_runs",
        null=True,
        blank=True,
        help_text="Who reads the answers, in tasks that need a judge.",
    )
    opponent = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        related_name="compared_runs",
        null=True,
        blank=True,
        help_text="Whose answers a pairwise judge compares with; empty: the dataset's own.",
    )
    source = models.CharField(
        max_length=100, blank=True, help_text="The program that ran it elsewhere; empty: this site."
    )
    use_cache = models.BooleanField(
        default=False, help_text="Take an equal request's stored answer instead of asking again."
    )
    spec_sha256 = models.CharField(max_length=64, help_text="Of the task as it was run.")
    fingerprint = models.CharField(max_length=64, help_text="Equal ones are comparable.")
    seed = models.BigIntegerField(null=True, blank=True, help_text="Of the first epoch.")
    total = models.PositiveIntegerField(default=0, help_text="Samples: items times epochs.")
    done = models.PositiveIntegerField(null=True, blank=True, help_text="Answered, at the end.")
    errors = models.PositiveIntegerField(null=True, blank=True, help_text="At the end.")
    unparsed = models.PositiveIntegerField(null=True, blank=True)
    truncated = models.PositiveIntegerField(null=True, blank=True)
    primary_score = models.FloatField(null=True, blank=True)
    results = models.JSONField(default=dict, blank=True, help_text="Estimates by filter/metric.")
    price_input = models.DecimalField(
        max_digits=10, decimal_places=4, null=True, blank=True, help_text="As it was at the start."
    )
    price_output = models.DecimalField(
        max_digits=10, decimal_places=4, null=True, blank=True, help_text="As it was at the start."
    )
    judge_price_input = models.DecimalField(
        max_digits=10, decimal_places=4, null=True, blank=True, help_text="As it was at the start."
    )
    judge_price_output = models.DecimalField(
        max_digits=10, decimal_places=4, null=True, blank=True, help_text="As it was at the start."
    )
    cost_cap = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, blank=True, help_text="USD; then it pauses."
    )
    cost = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, blank=True, help_text="USD, at the end."
    )
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    scoring_until = models.DateTimeField(
        null=True, blank=True, help_text="The claim of the process that computes the scores."
    )
    withdrawn_at = models.DateTimeField(
        null=True, blank=True, help_text="No longer on the board; its page stays, with the reason."
    )
    withdrawn_reason = models.TextField(blank=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            one_of("state", RunState),
            models.CheckConstraint(
                condition=Q(limit__isnull=True) | Q(limit__gte=1), name="run_limit_from_one"
            ),
            models.CheckConstraint(
                condition=Q(state__in=OVER, finished_at__isnull=False)
                | (~Q(state__in=OVER) & Q(finished_at__isnull=True)),
                name="run_finished_when_it_is_over",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["running", "scoring", *SCORED])
                | Q(started_at__isnull=False),
                name="run_started_before_it_ran",
            ),
            models.CheckConstraint(
                condition=Q(primary_score__isnull=True) | Q(state__in=SCORED),
                name="run_score_only_at_the_end",
            ),
            models.CheckConstraint(
                condition=Q(state="scoring", scoring_until__isnull=False)
                | (~Q(state="scoring") & Q(scoring_until__isnull=True)),
                name="run_scoring_has_a_claim",
            ),
            models.CheckConstraint(
                condition=Q(cost_cap__isnull=True) | Q(cost_cap__gt=0), name="run_cap_positive"
            ),
            models.CheckConstraint(
                condition=Q(withdrawn_at__isnull=True, withdrawn_reason="")
                | (Q(withdrawn_at__isnull=False) & ~Q(withdrawn_reason="")),
                name="run_withdrawn_with_a_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task} × {self.contestant}"

    @property
    def judges_itself(self) -> bool:
        """Whether the judge is one of those it judges: models prefer their own answers."""
        judged = [self.contestant, self.opponent.contestant if self.opponent else None]
        judge = self.judge
        return judge is not None and any(one and same_model(judge, one) for one in judged)


def same_model(one: Contestant, other: Contestant) -> bool:
    """One row, or two rows that ask one model of one endpoint."""
    asked = (one.endpoint_id, one.upstream_model)
    return one.pk == other.pk or (
        one.endpoint_id is not None and asked == (other.endpoint_id, other.upstream_model)
    )


class SampleState(models.TextChoices):
    PENDING = "pending", "Pending"
    LEASED = "leased", "Leased"
    DONE = "done", "Done"
    ERROR = "error", "Error"
    SKIPPED = "skipped", "Skipped"


class Sample(models.Model):
    """One request: an item asked once. A second epoch, a second turn and each question to a judge
    are rows of their own."""

    State = SampleState
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="samples")
    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="samples")
    epoch = models.PositiveSmallIntegerField(default=1)
    part = models.CharField(
        max_length=20,
        default="answer",
        help_text="answer, or what is asked once that is there: a further turn, a judgement.",
    )
    state = models.CharField(max_length=8, choices=State, default=State.PENDING)
    lease_owner = models.CharField(max_length=80, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Requests sent.")
    messages = models.JSONField(help_text="Exactly what is sent.")
    response = models.TextField(blank=True)
    reasoning = models.TextField(blank=True)
    finish_reason = models.CharField(max_length=20, blank=True)
    prompt_tokens = models.PositiveIntegerField(null=True, blank=True, help_text="As reported.")
    completion_tokens = models.PositiveIntegerField(null=True, blank=True)
    latency = models.FloatField(null=True, blank=True, help_text="Seconds of the last attempt.")
    cached = models.BooleanField(default=False, help_text="Answered by the response cache.")
    error_kind = models.CharField(max_length=30, blank=True)
    error_detail = models.TextField(blank=True, help_text="Upstream text: for staff only.")

    class Meta:
        ordering = ["run", "epoch", "item"]
        constraints = [
            one_of("state", SampleState),
            models.UniqueConstraint(fields=["run", "item", "epoch", "part"], name="sample_once"),
            models.CheckConstraint(condition=Q(epoch__gte=1), name="sample_epoch_from_one"),
            models.CheckConstraint(
                condition=(Q(state="leased", lease_until__isnull=False) & ~Q(lease_owner=""))
                | (~Q(state="leased") & Q(lease_until__isnull=True, lease_owner="")),
                name="sample_lease_has_an_owner_and_an_end",
            ),
            models.CheckConstraint(
                condition=(Q(state="error") & ~Q(error_kind=""))
                | (~Q(state="error") & Q(error_kind="")),
                name="sample_error_has_a_kind",
            ),
            models.CheckConstraint(
                condition=Q(state="done") | Q(response=""), name="sample_response_when_done"
            ),
        ]
        indexes = [
            # Leasing and sweeping look at what is open, whatever the number of finished samples.
            models.Index(
                fields=["run", "id"],
                name="sample_open",
                condition=Q(state__in=["pending", "leased"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.run_id}/{self.item_id}/{self.epoch}"


class CachedResponse(models.Model):
    """What an endpoint answered to a request; used by runs that ask for it, and only by them."""

    key = models.CharField(max_length=64, help_text="SHA-256 of all that was sent.")
    response = models.TextField(blank=True)
    reasoning = models.TextField(blank=True)
    finish_reason = models.CharField(max_length=20, blank=True)
    prompt_tokens = models.PositiveIntegerField(null=True, blank=True)
    completion_tokens = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key"], name="cached_response_once")]

    def __str__(self) -> str:
        return self.key[:12]


class Score(models.Model):
    """What a version of a scorer made of a stored response. Scoring again adds, never replaces."""

    sample = models.ForeignKey(Sample, on_delete=models.CASCADE, related_name="scores")
    scorer = models.CharField(max_length=60, help_text="id@version")
    metric = models.CharField(max_length=120, help_text="filter/metric")
    value = models.FloatField(null=True, blank=True, help_text="Empty: no verdict.")
    answer = models.TextField(null=True, blank=True)  # noqa: DJ001 - "" is an answer, too
    flags = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ["sample", "metric"]
        constraints = [
            models.UniqueConstraint(fields=["sample", "scorer", "metric"], name="score_once"),
        ]

    def __str__(self) -> str:
        return f"{self.metric}: {self.value}"


class Verdict(models.Model):
    """What the sandbox said of one answer to a code task.

    The row is first a claim, so that two workers do not run the same program; the claim of a killed
    one ends.
    """

    sample = models.OneToOneField(Sample, on_delete=models.CASCADE, related_name="verdict")
    owner = models.CharField(max_length=80, blank=True)
    until = models.DateTimeField(null=True, blank=True)
    passed = models.BooleanField(null=True, blank=True, help_text="Empty: claimed, not known yet.")
    reason = models.CharField(max_length=120, blank=True, help_text="How the program ended.")
    output = models.TextField(blank=True, help_text="The end of what it printed: for staff only.")
    seconds = models.FloatField(null=True, blank=True, help_text="With the sandbox's start.")
    checked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=(Q(passed__isnull=True, until__isnull=False) & ~Q(owner=""))
                | Q(passed__isnull=False, until__isnull=True, owner="", checked_at__isnull=False),
                name="verdict_claimed_or_known",
            ),
        ]

    def __str__(self) -> str:
        return self.reason or "claimed"


class SandboxReport(models.Model):
    """What a worker found when it tried to build a sandbox; the web processes cannot try it."""

    worker = models.CharField(max_length=150, unique=True, help_text="user@host")
    ok = models.BooleanField(help_text="Off: this worker runs no code.")
    remark = models.TextField(blank=True, help_text="Why not, or what an operator should know.")
    checked_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["worker"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ok=True) | ~Q(remark=""), name="sandbox_refused_for_a_reason"
            ),
        ]

    def __str__(self) -> str:
        return self.worker


class EndpointPace(models.Model):
    """What the runs at an endpoint have used up of its limits, and learnt of it: for the next."""

    endpoint = models.OneToOneField(
        Endpoint, on_delete=models.CASCADE, primary_key=True, related_name="pace"
    )
    requests_clock = models.DateTimeField(
        null=True, blank=True, help_text="Until then the requests by the minute are used up."
    )
    tokens_clock = models.DateTimeField(
        null=True, blank=True, help_text="Until then the tokens by the minute are used up."
    )
    closed_until = models.DateTimeField(null=True, blank=True, help_text="As the server asked.")
    at_once = models.FloatField(
        null=True, blank=True, help_text="Requests at once that it took, from one."
    )
    refused_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(at_once__isnull=True) | Q(at_once__gte=1), name="pace_at_once_from_one"
            ),
        ]

    def __str__(self) -> str:
        return f"pace of {self.endpoint}"
