"""Battles and votes for the staff: read, and votes held, excluded or restored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import pluralize
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from arena import votes
from arena.admin.parts import ReadOnly
from arena.battles import Refused
from arena.models import Answer, Attachment, Battle, Turn, Vote


class AnswerInline(ReadOnly, admin.StackedInline):
    model = Answer
    extra = 0
    fields = (
        ("slot", "contestant", "state", "attempts"),
        "text",
        ("reasoning", "citations"),
        "said_earlier",
        ("finish_reason", "stopped", "input_tokens", "output_tokens", "tokens_estimated"),
        ("first_token_ms", "duration_ms", "upstream_id"),
        ("error_kind", "error_detail"),
    )
    readonly_fields = ("said_earlier",)

    @admin.display(description="What it said before it was asked again")
    def said_earlier(self, answer: Answer) -> str:
        said = ((each["state"], each["text"]) for each in answer.earlier)
        return format_html_join("", "<p>{}: {}</p>", said) or "–"


class AttachmentInline(ReadOnly, admin.TabularInline):
    model = Attachment
    extra = 0
    fields = ("picture", "content_type", "width", "height", "size", "sha256")
    readonly_fields = ("picture",)
    verbose_name_plural = "images of the question"

    @admin.display(description="Image")
    def picture(self, attachment: Attachment) -> str:
        return format_html(
            '<a href="{0}"><img src="{0}" height="80" alt="Image {1} of the question"></a>',
            reverse("arena:image", args=[attachment.public_id]),
            attachment.position,
        )


@admin.register(Turn)
class TurnAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("battle", "number", "state", "created_at")
    list_filter = ("state",)
    inlines = (AttachmentInline, AnswerInline)

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        return {}  # reached through its battle


class TurnInline(ReadOnly, admin.TabularInline):
    model = Turn
    extra = 0
    fields = readonly_fields = ("number", "prompt", "state", "created_at")
    show_change_link = True


@admin.register(Battle)
class BattleAdmin(ReadOnly, admin.ModelAdmin):
    list_display = (
        "public_id", "mode", "state", "void_reason", "contestant_a", "contestant_b",
        "pair_probability", "created_at",
    )  # fmt: skip
    list_filter = ("state", "mode", "void_reason")
    list_select_related = ("contestant_a", "contestant_b")
    search_fields = ("public_id",)
    show_full_result_count = False
    inlines = (TurnInline,)


@admin.register(Vote)
class VoteAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("battle", "choice", "status", "exclusion_reason", "created_at")
    list_filter = ("status", "exclusion_reason", "choice")
    list_select_related = ("battle",)
    search_fields = ("battle__public_id",)
    show_full_result_count = False
    actions = ("exclude_votes", "hold_votes", "restore_votes")

    def has_withdraw_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("arena.change_vote")

    @admin.action(description="Exclude from all counts", permissions=["withdraw"])
    def exclude_votes(self, request: HttpRequest, queryset: QuerySet[Vote]) -> None:
        self._apply(request, queryset, "excluded", _exclude)

    @admin.action(description="Hold: not counted until looked at", permissions=["withdraw"])
    def hold_votes(self, request: HttpRequest, queryset: QuerySet[Vote]) -> None:
        self._apply(request, queryset, "held", votes.hold)

    @admin.action(description="Count again", permissions=["withdraw"])
    def restore_votes(self, request: HttpRequest, queryset: QuerySet[Vote]) -> None:
        self._apply(request, queryset, "counted again", votes.restore)

    def _apply(
        self,
        request: HttpRequest,
        queryset: QuerySet[Vote],
        done: str,
        verb: Callable[..., Vote],
    ) -> None:
        """Each vote in a transaction of its own, each with its line in the history."""
        changed = 0
        refused: Counter[str] = Counter()
        for pk in queryset.order_by("pk").values_list("pk", flat=True):
            try:
                vote = verb(vote_id=pk)
            except Refused as error:
                refused[error.message] += 1
                continue
            self.log_change(request, vote, f"{done.capitalize()} by an administrator.")
            changed += 1
        if changed:
            self.message_user(
                request, f"{changed} vote{pluralize(changed)} {done}.", messages.SUCCESS
            )
        for message, number in refused.items():
            self.message_user(
                request, f"{number} vote{pluralize(number)} left as is: {message}", messages.WARNING
            )


def _exclude(*, vote_id: int) -> Vote:
    return votes.exclude(vote_id=vote_id, reason=Vote.Exclusion.ADMINISTRATOR)
