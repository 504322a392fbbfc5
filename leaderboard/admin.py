"""The administrator's view of categories and snapshots."""

from __future__ import annotations

from django.contrib import admin

from arena.admin import ReadOnly
from leaderboard.models import Category, Rating, Snapshot


class RatingInline(ReadOnly, admin.TabularInline):
    model = Rating
    extra = 0
    fields = ("rank", "contestant", "status", "rating", "lower", "upper", "votes")


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("id", "category", "method", "votes_counted", "published_at", "superseded")
    list_filter = ("category", "superseded")
    inlines = (RatingInline,)


@admin.register(Category)
class CategoryAdmin(admin.ModelAdmin):
    list_display = ("name", "slug", "position")
