"""The administrator's view of categories and snapshots."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from arena.admin.parts import ReadOnly
from leaderboard import categories
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
    list_display = ("name", "slug", "group", "position", "stale")
    list_filter = ("group", "stale")
    fields = ("name", "slug", "group", "position", "description", "rule", "stale")

    def get_readonly_fields(self, request: HttpRequest, obj: Category | None = None) -> Any:
        if obj is None:
            return ("stale",)
        # Addresses and counts hang on the slug; all of the votes are all of the votes.
        return ("slug", "stale", *(("rule",) if obj.slug == OVERALL else ()))

    def has_delete_permission(self, request: HttpRequest, obj: Category | None = None) -> bool:
        return bool(obj and obj.slug != OVERALL) and super().has_delete_permission(request, obj)

    def save_model(
        self, request: HttpRequest, obj: Category, form: ModelForm[Category], change: bool
    ) -> None:
        if not change:
            categories.create(obj)
        elif form.changed_data:
            categories.change(obj, form.changed_data)
        if obj.stale:
            self.message_user(
                request, "The votes are being sorted anew; the ratings follow when that is done."
            )

    def delete_model(self, request: HttpRequest, obj: Category) -> None:
        categories.delete(obj)
