"""The administrator's pages for endpoints, contestants, battles and votes."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from arena import health, registration, votes
from arena.backends.base import BackendError
from arena.backends.registry import ADAPTERS
from arena.keys import KeyUnreadable
from arena.models import Answer, Battle, Contestant, Endpoint, Turn, Vote

admin.site.site_header = "Arena administration"
admin.site.site_title = "Arena"
admin.site.index_title = "Administration"


class EndpointForm(forms.ModelForm):
    kind = forms.ChoiceField(choices=[(kind, a.title) for kind, a in ADAPTERS.items()])
    new_api_key = forms.CharField(
        label="New API key",
        required=False,
        strip=True,
        widget=forms.PasswordInput(
            render_value=False, attrs={"autocomplete": "new-password", "size": 60}
        ),
        help_text="Stored encrypted, never shown again. Leave empty to keep the present key.",
    )
    erase_api_key = forms.BooleanField(label="Erase the stored key", required=False)

    class Meta:
        model = Endpoint
        fields = (
            "name", "kind", "base_url", "enabled",
            "connect_timeout", "first_token_timeout", "gap_timeout", "total_timeout",
        )  # fmt: skip
        help_texts = {
            "base_url": "As the provider's documentation gives it: "
            + "; ".join(f"{a.title}: {a.default_base_url}" for a in ADAPTERS.values())
        }

    def clean_base_url(self) -> str:
        return registration.check_base_url(self.cleaned_data["base_url"])


class ContestantInline(admin.TabularInline):
    model = Contestant
    extra = 1
    fields = ("name", "upstream_model", "organisation", "licence", "quantisation", "status")
    show_change_link = True


@admin.register(Endpoint)
class EndpointAdmin(admin.ModelAdmin):
    form = EndpointForm
    list_display = ("name", "kind", "base_url", "api_key_hint", "enabled", "probe_link")
    list_filter = ("kind", "enabled")
    search_fields = ("name", "base_url")
    readonly_fields = ("api_key_hint",)
    inlines = (ContestantInline,)
    fieldsets = (
        (None, {"fields": ("name", "kind", "base_url", "enabled")}),
        ("API key", {"fields": ("api_key_hint", "new_api_key", "erase_api_key")}),
        (
            "Time limits, in seconds",
            {
                "classes": ("collapse",),
                "fields": (
                    ("connect_timeout", "first_token_timeout"),
                    ("gap_timeout", "total_timeout"),
                ),
            },
        ),
    )

    @admin.display(description="Test")
    def probe_link(self, endpoint: Endpoint) -> str:
        return format_html(
            '<a href="{}">Probe</a>', reverse("admin:arena_endpoint_probe", args=[endpoint.pk])
        )

    def save_model(self, request: HttpRequest, obj: Endpoint, form: Any, change: bool) -> None:
        erased = registration.save_endpoint(
            obj,
            new_api_key=form.cleaned_data["new_api_key"],
            erase_key=form.cleaned_data["erase_api_key"],
        )
        if erased:
            self.message_user(
                request,
                "The scheme, host or port changed, so the stored API key was erased. "
                "Enter the key of the new address.",
                messages.WARNING,
            )

    def get_urls(self) -> list[URLPattern]:
        probe = self.admin_site.admin_view(self.probe_view)
        return [
            path("<int:pk>/probe/", probe, name="arena_endpoint_probe"),
            *super().get_urls(),
        ]

    def probe_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET: which model to ask. POST: ask it, and show what came back."""
        endpoint = get_object_or_404(Endpoint, pk=pk)
        if not self.has_change_permission(request, endpoint):
            raise PermissionDenied
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Probe {endpoint.name}",
            "endpoint": endpoint,
            "prompt": health.PROBE_PROMPT,
            "model": request.POST.get("model", "").strip(),
            "contestants": endpoint.contestants.all(),
        }
        try:
            target = endpoint.target()
            if request.method == "POST" and context["model"]:
                context["probe"] = health.probe_now(target, context["model"])
            else:
                context["models"] = health.model_names(target)
        except BackendError as error:
            # Listing models is a courtesy; servers that cannot do it still answer chats.
            context["listing_error"] = str(error)
        except KeyUnreadable as error:
            context["listing_error"] = str(error)
        return TemplateResponse(request, "admin/arena/endpoint/probe.html", context)


@admin.register(Contestant)
class ContestantAdmin(admin.ModelAdmin):
    list_display = (
        "name", "endpoint", "upstream_model", "organisation", "quantisation", "status", "weight",
    )  # fmt: skip
    list_filter = ("status", "endpoint", "organisation")
    list_editable = ("status", "weight")
    list_select_related = ("endpoint",)
    search_fields = ("name", "upstream_model", "organisation")


class ReadOnly:
    """Battles and votes are what happened: looked at here, changed only by verbs."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class AnswerInline(ReadOnly, admin.StackedInline):
    model = Answer
    extra = 0
    fields = (
        ("slot", "contestant", "state", "attempts"),
        "text",
        ("finish_reason", "stopped", "input_tokens", "output_tokens", "tokens_estimated"),
        ("first_token_ms", "duration_ms", "upstream_id"),
        ("error_kind", "error_detail"),
    )


@admin.register(Turn)
class TurnAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("battle", "number", "state", "created_at")
    list_filter = ("state",)
    inlines = (AnswerInline,)

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        return {}  # reached through its battle


class TurnInline(ReadOnly, admin.TabularInline):
    model = Turn
    extra = 0
    fields = ("number", "prompt", "state", "created_at")
    show_change_link = True


@admin.register(Battle)
class BattleAdmin(ReadOnly, admin.ModelAdmin):
    list_display = (
        "public_id", "mode", "state", "contestant_a", "contestant_b", "pair_probability",
        "created_at",
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
    actions = ("exclude_votes", "restore_votes")

    def has_withdraw_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("arena.change_vote")

    @admin.action(description="Exclude from all counts", permissions=["withdraw"])
    def exclude_votes(self, request: HttpRequest, queryset: QuerySet[Vote]) -> None:
        for pk in queryset.values_list("pk", flat=True):
            votes.exclude(vote_id=pk, reason=Vote.Exclusion.ADMINISTRATOR)

    @admin.action(description="Count again", permissions=["withdraw"])
    def restore_votes(self, request: HttpRequest, queryset: QuerySet[Vote]) -> None:
        rated = queryset.filter(battle__mode=Battle.Mode.BATTLE)
        for pk in rated.values_list("pk", flat=True):
            votes.restore(vote_id=pk)
