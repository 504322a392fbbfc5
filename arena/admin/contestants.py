"""The cards of the models, and who of them meets whom."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import URLField
from django.http import HttpRequest, HttpResponse

from arena.admin import sampler
from arena.admin.endpoints import link_to_probe
from arena.models import Contestant


class ContestantForm(forms.ModelForm):
    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if {"weight", "weight_reason"} & set(self.changed_data) and "weight" in cleaned:
            try:
                sampler.check_weight(cleaned["weight"], cleaned.get("weight_reason", ""))
            except ValidationError as error:
                self.add_error("weight_reason", error)
        return cleaned


@admin.register(Contestant)
class ContestantAdmin(admin.ModelAdmin):
    form = ContestantForm
    filter_horizontal = ("only_meets",)
    list_display = (
        "name", "status", "weight", "drawn", "probe_link", "endpoint", "upstream_model",
        "organisation", "quantisation",
    )  # fmt: skip
    list_filter = ("status", "vision", "endpoint", "organisation")
    list_editable = ("status",)  # weights are changed where their odds are shown
    list_select_related = ("endpoint",)
    search_fields = ("name", "upstream_model", "organisation")
    formfield_overrides = {URLField: {"assume_scheme": "https"}}
    fieldsets = (
        (None, {"fields": ("name", "aliases", "status")}),
        ("How it is drawn", {"fields": ("weight", "weight_reason", "only_meets")}),
        (
            "Card, shown after the vote",
            {
                "fields": (
                    "organisation", "url", "licence", "licence_url", "parameters",
                    "quantisation", "context_length", "open_weights", "memory_gb",
                    ("price_input", "price_output"), "knowledge_cutoff", "description",
                )
            },
        ),
        ("Where it answers", {"fields": ("endpoint", "upstream_model", "vision")}),
    )  # fmt: skip

    @admin.display(description="In battles", boolean=True)
    def drawn(self, contestant: Contestant) -> bool:
        return (
            contestant.status in (Contestant.Status.ACTIVE, Contestant.Status.PREVIEW)
            and contestant.weight > 0
            and contestant.endpoint is not None
            and contestant.endpoint.enabled
        )

    @admin.display(description="Health")
    def probe_link(self, contestant: Contestant) -> str:
        return link_to_probe(contestant.endpoint_id) if contestant.endpoint_id else "–"

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        can_probe = request.user.has_perm("arena.change_endpoint")
        context = {**(extra_context or {}), "can_probe": can_probe}
        return super().change_view(request, object_id, form_url, context)
