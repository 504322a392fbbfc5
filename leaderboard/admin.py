"""The administrator's view of categories and snapshots."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from arena.admin import ReadOnly
from leaderboard.models import OVERALL, Category, Rating, Snapshot


class RatingInline(ReadOnly, admin.TabularInline):
    model = Rating
    extra = 0
    fields = ("rank", "contestant", "status", "rating", "lower", "upper", "votes")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rating]:
        return super().get_queryset(request).select_related("contestant")


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("id", "category", "method", "votes_counted", "published_at", "superseded")
    list_filter = ("category", "superseded")
    inlines = (RatingInline,)


@admin.register(Category)
class CategoryAdmin(admin.ModelAdmin):
    list_display = ("name", "slug", "position")

    def get_readonly_fields(self, request: HttpRequest, obj: Category | None = None) -> Any:
        return ("slug",) if obj else ()  # addresses and counts hang on it

    def has_delete_permission(self, request: HttpRequest, obj: Category | None = None) -> bool:
        return bool(obj and obj.slug != OVERALL) and super().has_delete_permission(request, obj)
