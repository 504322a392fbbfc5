"""Endpoints: registered, probed, their health of the last day, and what was asked of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.text import Truncator
from django.views.decorators.debug import sensitive_post_parameters

from arena import breakers, health, registration, reliability
from arena.admin.parts import KeyForm, ReadOnly, save_with_key
from arena.backends.base import BackendError
from arena.backends.registry import ADAPTERS
from arena.keys import KeyUnreadable
from arena.models import Breaker, Contestant, Endpoint, UpstreamRequest


class EndpointForm(KeyForm):
    kind = forms.ChoiceField(
        choices=[
            (kind, format_html("{} <code>{}</code>", adapter.title, adapter.default_base_url))
            for kind, adapter in ADAPTERS.items()
        ],
        initial=next(iter(ADAPTERS)),
        widget=forms.RadioSelect,
        help_text="The dialect the server speaks, with its usual address. vLLM, llama.cpp, "
        "LM Studio, TGI, Groq, Mistral, Together and OpenRouter all speak the first one.",
    )
    base_url = forms.CharField(
        label="Base URL",
        max_length=500,
        required=False,
        widget=forms.URLInput(attrs={"class": "vTextField", "inputmode": "url"}),
        help_text="As the provider's documentation gives it. Left empty, it is the usual address "
        "of the kind.",
    )

    class Meta:
        model = Endpoint
        fields = (
            "name", "kind", "base_url", "enabled",
            "connect_timeout", "first_token_timeout", "gap_timeout", "total_timeout",
            "evaluation_concurrency", "requests_per_minute", "tokens_per_minute",
            "daily_requests", "daily_budget", "price_input", "price_output",
        )  # fmt: skip

    def clean_base_url(self) -> str:
        base_url = self.cleaned_data["base_url"] or registration.default_base_url(
            self.cleaned_data.get("kind", "")
        )
        return registration.check_base_url(base_url)


class ContestantInline(ReadOnly, admin.TabularInline):
    model = Contestant
    extra = 0
    fields = ("card", "upstream_model", "organisation", "status")
    readonly_fields = ("card",)
    verbose_name_plural = "contestants behind this endpoint"

    @admin.display(description="Contestant")
    def card(self, contestant: Contestant) -> str:
        url = reverse("admin:arena_contestant_change", args=[contestant.pk])
        return format_html('<a href="{}">{}</a>', url, contestant.name)


@admin.register(Endpoint)
class EndpointAdmin(admin.ModelAdmin):
    form = EndpointForm
    list_display = (
        "name", "health_now", "kind", "base_url", "api_key_hint", "enabled", "probe_link",
    )  # fmt: skip
    list_filter = ("kind", "enabled")
    list_select_related = ("breaker",)
    search_fields = ("name", "base_url")
    readonly_fields = ("api_key_hint",)
    actions = ("take_back",)
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
        (
            "Limits and prices of battles",
            {
                "classes": ("collapse",),
                "fields": (
                    ("daily_requests", "daily_budget"),
                    ("price_input", "price_output"),
                ),
            },
        ),
        (
            "Limits of benchmark runs",
            {
                "classes": ("collapse",),
                "fields": ("evaluation_concurrency", "requests_per_minute", "tokens_per_minute"),
            },
        ),
    )
    add_fieldsets = (
        (None, {"fields": ("name", "kind", "base_url", "new_api_key")}),
        *fieldsets[2:],
    )

    def get_fieldsets(self, request: HttpRequest, obj: Endpoint | None = None) -> Any:
        if obj is None:
            return self.add_fieldsets
        if not self.has_change_permission(request, obj):
            return (
                self.fieldsets[0],
                ("API key", {"fields": ("api_key_hint",)}),
                *self.fieldsets[2:],
            )
        return self.fieldsets

    def get_inlines(self, request: HttpRequest, obj: Endpoint | None) -> Any:
        # A new endpoint gets its contestants from the probe page, which knows its models.
        return self.inlines if obj else ()

    @method_decorator(sensitive_post_parameters("new_api_key"))
    def changeform_view(self, *args: Any, **kwargs: Any) -> Any:
        return super().changeform_view(*args, **kwargs)

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        changelist = super().get_changelist_instance(request)
        changelist.result_list = list(changelist.result_list)
        _look_after(changelist.result_list)
        return changelist

    @admin.display(description="Health, last 24 h")
    def health_now(self, endpoint: Endpoint) -> str:
        return render_to_string("admin/arena/endpoint/_health.html", {"endpoint": endpoint})

    @admin.action(description="Take back into battles now", permissions=["change"])
    def take_back(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        back = [endpoint for endpoint in queryset if breakers.close(endpoint=endpoint)]
        for endpoint in back:
            self.log_change(request, endpoint, "Taken back into battles.")
        names = ", ".join(endpoint.name for endpoint in back)
        self.message_user(
            request,
            f"Back in battles: {names}." if back else "None of them was out of battles.",
            messages.SUCCESS if back else messages.WARNING,
        )

    @admin.display(description="Test")
    def probe_link(self, endpoint: Endpoint) -> str:
        return link_to_probe(endpoint.pk)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        save_with_key(request, form, registration.save_endpoint)

    def response_add(self, request: HttpRequest, obj: Endpoint, *args: Any) -> HttpResponse:
        """A new endpoint is worth nothing until it has answered once: on to the probe."""
        response = super().response_add(request, obj, *args)
        return self._to_probe(request, obj) or response

    def response_change(self, request: HttpRequest, obj: Endpoint) -> HttpResponse:
        response = super().response_change(request, obj)
        return self._to_probe(request, obj) or response

    def _to_probe(self, request: HttpRequest, endpoint: Endpoint) -> HttpResponse | None:
        if "_probe" in request.POST and self.has_change_permission(request, endpoint):
            return redirect("admin:arena_endpoint_probe", endpoint.pk)
        return None

    def get_urls(self) -> list[URLPattern]:
        probe = self.admin_site.admin_view(self.probe_view)
        return [
            path("<int:pk>/probe/", probe, name="arena_endpoint_probe"),
            *super().get_urls(),
        ]

    def probe_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET: the endpoint's models. POST: ask one of them, or make a contestant of it."""
        endpoint = get_object_or_404(Endpoint, pk=pk)
        if not self.has_change_permission(request, endpoint):
            raise PermissionDenied
        typed = request.POST.get("typed", "")
        chosen = request.POST.get("register", "")
        if chosen or request.POST.get("do") == "register":
            return self._register(request, endpoint, chosen or typed)
        with_image = "with_image" in request.POST or request.POST.get("do") == "with_image"
        named = request.POST.get("model") or request.POST.get("with_image")
        model = (named or typed).strip()
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Probe {endpoint.name}",
            "endpoint": endpoint,
            "prompt": health.PROBE_PROMPT,
            "sight_prompt": health.SIGHT_PROMPT,
            "model": model,
            "typed": typed,
            "can_register": request.user.has_perm("arena.add_contestant"),
        }
        listed: list[str] = []
        try:
            target = endpoint.target()
            if model:
                context["probe"] = health.probe_now(target, model, with_image=with_image)
                if context["probe"].ok and breakers.close(endpoint=endpoint, model=model):
                    self.message_user(
                        request, "It was out of battles, and is back in them.", messages.SUCCESS
                    )
            listed = health.model_names(target)
        except (BackendError, KeyUnreadable) as error:
            # Listing models is a courtesy; servers that cannot do it still answer chats.
            context["listing_error"] = str(error)
        context["models"] = _model_rows(endpoint, listed)
        return TemplateResponse(request, "admin/arena/endpoint/probe.html", context)

    def _register(self, request: HttpRequest, endpoint: Endpoint, model: str) -> HttpResponse:
        if not request.user.has_perm("arena.add_contestant"):
            raise PermissionDenied
        try:
            contestant, new = registration.register_model(endpoint=endpoint, upstream_model=model)
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.ERROR)
            return redirect("admin:arena_endpoint_probe", endpoint.pk)
        if new:
            admin.site._registry[Contestant].log_addition(request, contestant, [{"added": {}}])
            self.message_user(
                request,
                f"{contestant.name} is registered as a draft, so it is not drawn yet. "
                "Complete its card, then set its status to Active.",
                messages.SUCCESS,
            )
        return redirect("admin:arena_contestant_change", contestant.pk)


def _look_after(endpoints: Sequence[Endpoint]) -> None:
    """Give each endpoint what its health column shows, in two queries for all."""
    hours = reliability.last_hours([endpoint.pk for endpoint in endpoints])
    models: dict[int, list[Contestant]] = defaultdict(list)
    for contestant in (
        Contestant.objects.filter(endpoint__in=endpoints)
        .filter(breaker__in=Breaker.objects.blocking())
        .select_related("breaker")
    ):
        assert contestant.endpoint_id is not None
        models[contestant.endpoint_id].append(contestant)
    for endpoint in endpoints:
        endpoint.health = _Health(  # type: ignore[attr-defined]
            getattr(endpoint, "breaker", None), models[endpoint.pk], hours[endpoint.pk]
        )


class _Health:
    """The health column of one endpoint, as the template draws it."""

    def __init__(
        self, breaker: Breaker | None, models: list[Contestant], hours: list[reliability.Hour]
    ) -> None:
        self.models = models
        self.breaker = breaker if breaker and breaker.is_blocking else None
        self.answered = sum(hour.answered for hour in hours)
        self.failed = sum(hour.failed for hour in hours)
        most = max((hour.answered + hour.failed for hour in hours), default=0) or 1
        self.bars = [
            _Bar(4 * place, SPARK_HEIGHT * hour.failed / most, SPARK_HEIGHT * hour.answered / most)
            for place, hour in enumerate(hours)
        ]


SPARK_HEIGHT = 20


class _Bar:
    """One hour: what failed stands at the bottom, what was answered on top of it."""

    def __init__(self, x: int, failed: float, answered: float) -> None:
        self.x = x
        # A single failure among thousands must still be seen.
        self.failed = max(failed, 2.0) if failed else 0.0
        self.answered = min(answered, SPARK_HEIGHT - self.failed)
        self.failed_y = SPARK_HEIGHT - self.failed
        self.answered_y = self.failed_y - self.answered


def _model_rows(endpoint: Endpoint, listed: list[str]) -> list[dict[str, Any]]:
    """The models an endpoint lists and those already registered, each with its contestant."""
    known: dict[str, Contestant] = {}
    for contestant in endpoint.contestants.order_by("-pk"):
        known[contestant.upstream_model] = contestant  # of several, the first one registered
    return [
        {"name": name, "contestant": known.get(name)} for name in dict.fromkeys([*known, *listed])
    ]


def link_to_probe(endpoint_id: int) -> str:
    return format_html(
        '<a href="{}">Probe</a>', reverse("admin:arena_endpoint_probe", args=[endpoint_id])
    )


@admin.register(UpstreamRequest)
class UpstreamRequestAdmin(ReadOnly, admin.ModelAdmin):
    """What endpoints said when they failed stands here, and on no page of a reader."""

    list_display = (
        "at", "outcome", "said", "contestant", "endpoint", "purpose", "first_token_ms",
        "duration_ms",
    )  # fmt: skip
    list_filter = ("outcome", "purpose", "endpoint")
    list_select_related = ("endpoint", "contestant")
    date_hierarchy = "at"
    show_full_result_count = False

    @admin.display(description="What it said")
    def said(self, request: UpstreamRequest) -> str:
        return Truncator(request.detail).chars(80) or "–"
