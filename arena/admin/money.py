"""The administrator's page of today's budgets."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from arena import limits
from arena.admin.parts import ReadOnly
from arena.models import Spending
from arena.models.spending import MILLIONTHS

DAYS = 14


class _Row:
    """One budget as the table shows it; money in dollars."""

    def __init__(self, standing: limits.Standing) -> None:
        self.standing = standing
        self.spent = _usd(standing.spent)
        self.held = _usd(standing.held)
        self.limit = _usd(standing.limit.millionths) if standing.limit.millionths else None
        self.left = None if standing.left is None else _usd(standing.left)
        self.used_up = standing.left == 0 or standing.requests_left == 0


def _usd(millionths: int) -> float:
    return millionths / MILLIONTHS


@admin.register(Spending)
class SpendingAdmin(ReadOnly, admin.ModelAdmin):
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = [_Row(standing) for standing in limits.standings()]
        days = Spending.objects.filter(scope=Spending.Scope.ARENA).order_by("-day")[:DAYS]
        scope = Spending.Scope
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Limits and money",
            "tables": [
                ("The arena", [row for row in rows if row.standing.scope == scope.ARENA]),
                ("Endpoints", [row for row in rows if row.standing.scope == scope.ENDPOINT]),
                (
                    "Who asked most",
                    [row for row in rows if row.standing.scope in (scope.VOTER, scope.NETWORK)],
                ),
            ],
            "days": [(day.day, day.requests, _usd(day.spent)) for day in days],
            "hours_left": limits.seconds_of_the_day_left() / 3600,
        }
        return TemplateResponse(request, "admin/arena/spending/budgets.html", context)
