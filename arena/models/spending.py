"""What battles cost and may cost: counters of a day, and what running turns hold of them.

Money is counted in whole millionths of a dollar: prices are dollars per million tokens, so a price
times a number of tokens is just that.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

MILLIONTHS = 1_000_000


class SpendingScope(models.TextChoices):
    ARENA = "arena", "The whole arena"
    ENDPOINT = "endpoint", "An endpoint"
    VOTER = "voter", "A voter"
    NETWORK = "network", "A network"


class SpendingQuerySet(models.QuerySet["Spending"]):
    def with_total(self) -> SpendingQuerySet:
        """`total`: what is spent and what running turns may still spend."""
        return self.annotate(total=F("spent") + F("held"))

    def today_of_endpoints(self, ids: Iterable[int]) -> SpendingQuerySet:
        return self.filter(
            scope=SpendingScope.ENDPOINT, key__in=map(str, ids), day=timezone.now().date()
        )


class Spending(models.Model):
    """What was asked and spent in one scope on one day (UTC). Changed by `limits` alone."""

    Scope = SpendingScope
    scope = models.CharField(max_length=8, choices=SpendingScope)
    key = models.CharField(
        max_length=64,
        blank=True,
        help_text="The endpoint's or the voter's id; of a network a keyed hash, never an address.",
    )
    day = models.DateField()
    requests = models.PositiveIntegerField(default=0, help_text="To models.")
    held = models.BigIntegerField(
        default=0, help_text="The most that running turns may cost. Millionths of a dollar."
    )
    spent = models.BigIntegerField(default=0, help_text="Millionths of a dollar.")

    objects = SpendingQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "spending"
        constraints = [
            models.CheckConstraint(
                condition=Q(scope__in=SpendingScope.values), name="spending_scope_known"
            ),
            models.CheckConstraint(
                condition=(Q(scope="arena", key="")) | (~Q(scope="arena") & ~Q(key="")),
                name="spending_of_something",
            ),
            models.UniqueConstraint(fields=["day", "scope", "key"], name="spending_once_a_day"),
            models.CheckConstraint(
                condition=Q(requests__gte=0, held__gte=0, spent__gte=0),
                name="spending_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.key} {self.day}".replace("  ", " ")


class Reservation(models.Model):
    """What one turn holds of the day's budgets while it runs, and what it cost in the end."""

    turn = models.ForeignKey("arena.Turn", on_delete=models.CASCADE, related_name="reservations")
    day = models.DateField(help_text="Whose budgets: also when the turn ends after midnight.")
    voter = models.CharField(max_length=64, blank=True, help_text="Empty: without a limit.")
    network = models.CharField(max_length=64, blank=True, help_text="Empty: without a limit.")
    charges = models.JSONField(
        help_text="[endpoint, millionths of a dollar] of each request: the most it may cost, once "
        "settled what it did cost."
    )
    settled = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["turn"], condition=Q(settled=False), name="reservation_open_once"
            ),
        ]
        indexes = [models.Index(fields=["day"], name="reservation_by_day")]

    def __str__(self) -> str:
        return f"{self.turn_id}: {'settled' if self.settled else 'open'}"


class NetworkSalt(models.Model):
    """The day's part of the key that network addresses are hashed with. Forgotten after the day."""

    day = models.DateField(unique=True)
    value = models.CharField(max_length=64)

    def __str__(self) -> str:
        return str(self.day)
