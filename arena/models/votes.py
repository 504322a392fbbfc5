"""What people judged."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from arena.models.battles import Battle, Voter
from arena.models.constraints import one_of
from arena.models.contestants import Contestant


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
