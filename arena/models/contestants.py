"""The models that are rated, each under one public name."""

from __future__ import annotations

from typing import Any

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.text import slugify

from arena.leaks import Identity
from arena.models.constraints import one_of
from arena.models.endpoints import Breaker, Endpoint
from arena.models.spending import MILLIONTHS, Spending


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
        endpoint may be asked today is not used up.

        What is out is asked at once, and is nearly always nothing: two small questions. As
        subqueries of one question they took twice the time of everything else in a draw.
        """
        there = self.in_battles()
        out = set(Breaker.objects.blocking().values_list("endpoint_id", "contestant_id"))
        if endpoints := {endpoint for endpoint, _ in out if endpoint} | _used_up():
            there = there.exclude(endpoint__in=endpoints)
        if models := {contestant for _, contestant in out if contestant}:
            there = there.exclude(pk__in=models)
        return there


def _used_up() -> set[int]:
    """The endpoints that may be asked no more today."""
    limits = Endpoint.objects.exclude(daily_requests=None, daily_budget=None).in_bulk()
    used_up = set()
    for row in Spending.objects.today_of_endpoints(limits) if limits else ():
        endpoint = limits[int(row.key)]
        requests, budget = endpoint.daily_requests, endpoint.daily_budget
        if (requests is not None and row.requests >= requests) or (
            budget is not None and row.spent + row.held >= budget * MILLIONTHS
        ):
            used_up.add(endpoint.pk)
    return used_up


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
