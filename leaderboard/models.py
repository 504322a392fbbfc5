"""What all of it means: pair counts, and immutable snapshots of the ratings they give."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q

from arena.models import Contestant, Vote, one_of
from leaderboard.rules import BadRule, compile_rule


def check_rule(rule: object) -> None:
    try:
        compile_rule(rule)
    except BadRule as error:
        raise ValidationError(str(error), code="bad_rule") from error


class Category(models.Model):
    """A slice of the votes with a leaderboard of its own."""

    class Group(models.TextChoices):
        OVERALL = "overall", "Overall"
        TOPIC = "topic", "Topic"
        FORM = "form", "Form"
        LANGUAGE = "language", "Language"

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    group = models.CharField(max_length=10, choices=Group, default=Group.TOPIC)
    description = models.CharField(max_length=300, blank=True)
    rule = models.JSONField(
        default=dict,
        blank=True,
        validators=[check_rule],
        help_text="Which votes belong here: {} is all of them; see leaderboard/rules.py.",
    )
    position = models.PositiveSmallIntegerField(default=0)
    stale = models.BooleanField(
        default=False,
        editable=False,
        help_text="The rule has changed, so the pair counts must be made anew.",
    )
    rebuilt_through = models.BigIntegerField(
        default=0,
        editable=False,
        help_text="While stale: the counts hold the votes up to this id, and no others.",
    )

    class Meta:
        ordering = ["position", "name"]
        verbose_name_plural = "categories"

    def __str__(self) -> str:
        return self.name


OVERALL = "overall"


class VoteFeatures(models.Model):
    """All that a category's rule, or style control, may know of one vote. Written once.

    The flags are false and the sides' figures NULL where a vote came without its texts.
    """

    vote = models.OneToOneField(
        Vote, on_delete=models.CASCADE, primary_key=True, related_name="features"
    )
    language = models.CharField(max_length=8, blank=True, help_text="ISO 639; empty is unknown.")
    turns = models.PositiveSmallIntegerField(default=1)
    prompt_tokens = models.PositiveIntegerField(default=0)
    code = models.BooleanField(default=False)
    math = models.BooleanField(default=False)
    creative = models.BooleanField(default=False)
    instructions = models.BooleanField(default=False)
    refusal = models.BooleanField(default=False)
    identity_leak = models.BooleanField(
        default=False, db_default=False, help_text="An answer said who wrote it (arena/leaks.py)."
    )
    tokens_a = models.PositiveIntegerField(null=True)
    tokens_b = models.PositiveIntegerField(null=True)
    headers_a = models.PositiveIntegerField(null=True)
    headers_b = models.PositiveIntegerField(null=True)
    lists_a = models.PositiveIntegerField(null=True)
    lists_b = models.PositiveIntegerField(null=True)
    bold_a = models.PositiveIntegerField(null=True)
    bold_b = models.PositiveIntegerField(null=True)
    prompt_key = models.CharField(
        max_length=32,
        blank=True,
        help_text="Equal for votes of this arena on the same first prompt; else empty.",
    )

    class Meta:
        verbose_name_plural = "vote features"
        indexes = [
            # Of this arena's own votes alone: a million imported ones add nothing to it.
            models.Index(
                fields=["prompt_key"], name="features_prompt_key", condition=~Q(prompt_key="")
            )
        ]

    def __str__(self) -> str:
        return f"features of vote {self.pk}"


class PairCountQuerySet(models.QuerySet["PairCount"]):
    def public(self) -> PairCountQuerySet:
        """Battles that happened, without those of models whose names are not public yet."""
        hidden = Contestant.objects.hidden_ids()
        counted = self.filter(n__gt=0)
        return counted.exclude(lo__in=hidden).exclude(hi__in=hidden) if hidden else counted


class PairCount(models.Model):
    """How often a pair's battles ended one way. A cache of the counted votes.

    `lo` is the contestant with the smaller id. A snapshot reads these rows and nothing else, so a
    refresh costs the same at ten thousand votes and at a billion.
    """

    class Outcome(models.TextChoices):
        LO = "lo", "The smaller id won"
        HI = "hi", "The larger id won"
        TIE = "tie", "Both good"
        BOTH_BAD = "both_bad", "Both bad"

    category = models.ForeignKey(Category, on_delete=models.CASCADE)
    lo = models.ForeignKey(Contestant, on_delete=models.PROTECT, related_name="+")
    hi = models.ForeignKey(Contestant, on_delete=models.PROTECT, related_name="+")
    outcome = models.CharField(max_length=8, choices=Outcome)
    n = models.BigIntegerField(default=0)

    objects = PairCountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["category", "lo", "hi", "outcome"], name="pair_count_once"
            ),
            models.CheckConstraint(condition=Q(lo__lt=F("hi")), name="pair_count_lo_before_hi"),
            models.CheckConstraint(condition=Q(n__gte=0), name="pair_count_not_negative"),
            models.CheckConstraint(
                condition=Q(outcome__in=["lo", "hi", "tie", "both_bad"]),
                name="pair_count_outcome_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.lo_id}–{self.hi_id} {self.outcome}: {self.n}"


class Method(models.TextChoices):
    BRADLEY_TERRY = "bradley_terry", "Bradley–Terry"
    STYLE_CONTROL = "style_control", "Bradley–Terry with style control"
    ELO = "elo", "Online Elo"


class Snapshot(models.Model):
    """One published computation. Never changed: the next one is a new row."""

    Method = Method
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="snapshots")
    method = models.CharField(max_length=20, choices=Method)
    configuration = models.JSONField()
    code_version = models.CharField(max_length=40)
    data_hash = models.CharField(max_length=64, help_text="SHA-256 of the inputs.")
    votes_counted = models.PositiveBigIntegerField()
    votes_excluded = models.JSONField(default=dict, help_text="By reason.")
    votes_pending = models.PositiveBigIntegerField(default=0)
    cells = models.BinaryField(
        default=bytes, help_text="The pair counts it was made from: compressed JSON."
    )
    covariance = models.BinaryField(
        default=bytes, help_text="How the ratings vary together (leaderboard/covariance.py)."
    )
    extra = models.JSONField(default=dict, help_text="What the method says beside ratings.")
    published_at = models.DateTimeField(auto_now_add=True)
    superseded = models.BooleanField(default=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            # Two simultaneous computations publish one snapshot.
            models.UniqueConstraint(
                fields=["category", "method"],
                condition=Q(superseded=False),
                name="snapshot_one_current",
            )
        ]

    def __str__(self) -> str:
        return f"{self.category} #{self.pk}"


class Rating(models.Model):
    """One contestant's line in one snapshot. NULL where no honest number exists."""

    class Status(models.TextChoices):
        OK = "ok", "Rated"
        PROVISIONAL = "provisional", "Not placed yet: needs wins and losses"
        SEPARATED = "separated", "Not placed yet: needs more battles"
        UNRATED = "unrated", "No votes yet"

    snapshot = models.ForeignKey(Snapshot, on_delete=models.CASCADE, related_name="ratings")
    contestant = models.ForeignKey(Contestant, on_delete=models.PROTECT, related_name="ratings")
    status = models.CharField(max_length=12, choices=Status)
    rating = models.FloatField(null=True)
    lower = models.FloatField(null=True)
    upper = models.FloatField(null=True)
    rank = models.PositiveIntegerField(null=True)
    # From the bootstrap: where the model stood in the middle 95 % of the replicas.
    rank_low = models.PositiveIntegerField(null=True)
    rank_high = models.PositiveIntegerField(null=True)
    boot_lower = models.FloatField(null=True)
    boot_upper = models.FloatField(null=True)
    win_rate = models.FloatField(null=True, help_text="Expected against all others alike.")
    both_bad_rate = models.FloatField(null=True)
    votes = models.PositiveBigIntegerField()

    class Meta:
        ordering = ["snapshot", F("rank").asc(nulls_last=True), "-rating"]
        constraints = [
            models.UniqueConstraint(fields=["snapshot", "contestant"], name="rating_once"),
            models.CheckConstraint(
                # All or none. NULL must be named: a comparison with it is not false, so it passes.
                condition=Q(
                    rating__isnull=True, lower__isnull=True, upper__isnull=True, rank__isnull=True
                )
                | Q(
                    rating__isnull=False,
                    lower__isnull=False,
                    upper__isnull=False,
                    rank__isnull=False,
                    lower__lte=F("rating"),
                    upper__gte=F("rating"),
                    rank__gte=1,
                ),
                name="rating_inside_its_interval",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contestant_id}: {self.rating}"


class ImportState(models.TextChoices):
    WAITING = "waiting", "Waiting for a worker"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    REFUSED = "refused", "Refused"


class ImportRun(models.Model):
    """One import that somebody of the staff asked for. The row is its own outbox entry.

    A worker claims what waits, so a lost or repeated Celery message does no harm; nor does running
    it twice, because importing the same votes again changes nothing.
    """

    State = ImportState
    file = models.CharField(max_length=200, help_text="Its name in IMPORTS_DIR, or as uploaded.")
    uploaded = models.BooleanField(default=False)
    name = models.CharField("source", max_length=60)
    format = models.CharField(max_length=30, blank=True, help_text="Empty: recognised.")
    licence = models.CharField(max_length=100, blank=True)
    url = models.URLField(blank=True)
    prefix = models.CharField(max_length=50, blank=True)
    skip_bad = models.BooleanField(default=False)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    phase = models.CharField(max_length=10, blank=True)
    done = models.BigIntegerField(default=0, help_text="Bytes checked.")
    total = models.BigIntegerField(null=True)
    report = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    heartbeat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            one_of("state", ImportState),
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "running"], finished_at__isnull=True)
                | Q(state__in=["done", "refused"], finished_at__isnull=False),
                name="import_finished_when_over",
            ),
        ]

    def __str__(self) -> str:
        return f"import {self.pk} of {self.file}"

    @property
    def over(self) -> bool:
        return self.state in (ImportState.DONE, ImportState.REFUSED)


class ImportPiece(models.Model):
    """A piece of an uploaded file, kept until its import is over.

    In the database, because nothing else is shared by every web process and every worker.
    """

    run = models.ForeignKey(ImportRun, on_delete=models.CASCADE, related_name="pieces")
    number = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        ordering = ["run", "number"]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="import_piece_once")]

    def __str__(self) -> str:
        return f"{self.run_id}/{self.number}"


class Reliability(models.Model):
    """How a model has answered of late: written by `leaderboard.reliability`, read by the board.

    In the database, because every process must publish the same figures.
    """

    contestant = models.OneToOneField(
        Contestant, on_delete=models.CASCADE, primary_key=True, related_name="reliability"
    )
    requests = models.PositiveIntegerField(help_text="Answered or failed.")
    failed = models.PositiveIntegerField()
    first_token = models.FloatField(null=True, help_text="Seconds to it, the median.")
    tokens_per_second = models.FloatField(null=True, help_text="Of the writing alone.")
    input_tokens = models.FloatField(null=True, help_text="Of an answer, the mean.")
    output_tokens = models.FloatField(null=True, help_text="The same of what it wrote.")
    changed_at = models.DateTimeField(help_text="When one of these was last found to differ.")

    class Meta:
        verbose_name_plural = "reliabilities"
        constraints = [
            models.CheckConstraint(
                condition=Q(requests__gte=1, failed__lte=F("requests")),
                name="reliability_is_of_requests",
            )
        ]

    def __str__(self) -> str:
        return f"{self.contestant_id}: {self.failed} of {self.requests} failed"


class SamplingDay(models.Model):
    """What became of the battles into which one model was drawn on one day (UTC). Published.

    Every battle counts for both of its models, so over all models of a day each of these sums to
    twice the number of battles or votes.
    """

    contestant = models.ForeignKey(
        Contestant, on_delete=models.CASCADE, related_name="sampling_days"
    )
    day = models.DateField()
    sampled = models.PositiveIntegerField(default=0)
    completed = models.PositiveIntegerField(default=0, help_text="Both answers were complete.")
    skipped = models.PositiveIntegerField(default=0)
    voided = models.JSONField(default=dict, help_text="By reason.")
    failures = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="Of requests, before any text: it was asked again, or another model was drawn.",
    )
    votes = models.PositiveIntegerField(default=0)
    held = models.PositiveIntegerField(default=0)
    excluded = models.JSONField(default=dict, help_text="By reason.")
    samplers = models.JSONField(default=dict, db_default={}, help_text="Battles by how drawn.")
    weight = models.FloatField(help_text="Sampling weight, on that day when last added up.")
    weight_reason = models.CharField(max_length=200, blank=True, db_default="")

    class Meta:
        ordering = ["-day", "contestant"]
        constraints = [
            models.UniqueConstraint(fields=["contestant", "day"], name="sampling_day_once")
        ]

    def __str__(self) -> str:
        return f"{self.contestant_id} on {self.day}"
