"""The administrator's pages of moderation: who checks texts, what follows, what was found."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.views.decorators.debug import sensitive_post_parameters

from arena import registration
from arena.admin.parts import KeyForm, ReadOnly, save_with_key
from arena.models import ModerationCategory, ModerationEvent, ModerationSettings
from arena.moderation import terms


class HouseForm(KeyForm):
    class Meta:
        model = ModerationSettings
        fields = (
            "provider", "base_url", "model", "timeout", "fail_closed", "new_category_action",
        )  # fmt: skip
        widgets = {
            "provider": forms.RadioSelect,
            "base_url": forms.URLInput(attrs={"class": "vTextField", "inputmode": "url"}),
        }

    def clean_base_url(self) -> str:
        base_url: str = self.cleaned_data["base_url"]
        if not base_url:
            if self.cleaned_data.get("provider") == ModerationSettings.Provider.ENDPOINT:
                raise ValidationError("Where is the endpoint?", code="required")
            return ""
        return registration.check_base_url(base_url)


class CategoryForm(forms.ModelForm):
    class Meta:
        model = ModerationCategory
        fields = ("name", "title", "action", "threshold", "terms")
        widgets = {"terms": forms.Textarea(attrs={"rows": 3, "cols": 40, "spellcheck": "false"})}

    def clean_terms(self) -> str:
        written: str = self.cleaned_data["terms"]
        try:
            terms.read(written)
        except terms.BadTerm as error:
            raise ValidationError(f"{str(error).capitalize()}.", code="bad_term") from error
        return written


class CategoryInline(admin.StackedInline):
    model = ModerationCategory
    form = CategoryForm
    extra = 0
    fields = (("name", "title"), ("action", "threshold"), "terms")


@admin.register(ModerationSettings)
class ModerationSettingsAdmin(admin.ModelAdmin):
    form = HouseForm
    inlines = (CategoryInline,)
    readonly_fields = ("api_key_hint",)
    fieldsets = (
        (
            None,
            {
                "fields": ("provider", "timeout", "fail_closed"),
                "description": "Each prompt is checked before any model sees it, and both answers "
                "when they are complete. With Off for every category nothing is stored.",
            },
        ),
        (
            "The endpoint",
            {
                "fields": (
                    "base_url", "model", "api_key_hint", "new_api_key", "erase_api_key",
                    "new_category_action",
                )
            },
        ),
    )  # fmt: skip

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not ModerationSettings.objects.exists()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @method_decorator(sensitive_post_parameters("new_api_key"))
    def changeform_view(self, *args: Any, **kwargs: Any) -> Any:
        return super().changeform_view(*args, **kwargs)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """There is one of it: on to its form."""
        if ModerationSettings.objects.exists():
            return redirect("admin:arena_moderationsettings_change", 1)
        if self.has_add_permission(request):
            return redirect("admin:arena_moderationsettings_add")
        return super().changelist_view(request, extra_context)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        save_with_key(request, form, registration.save_moderation)


@admin.register(ModerationEvent)
class ModerationEventAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("at", "subject", "category_or_failure", "action", "reason", "where")
    list_filter = ("action", "subject", "category")
    list_select_related = ("turn",)
    date_hierarchy = "at"
    show_full_result_count = False

    @admin.display(description="Category", ordering="category")
    def category_or_failure(self, event: ModerationEvent) -> str:
        return event.category or "not checked"

    @admin.display(description="Where")
    def where(self, event: ModerationEvent) -> str:
        if event.turn_id is None:
            return "not kept"
        url = reverse("admin:arena_turn_change", args=[event.turn_id])
        side = f", side {event.slot.upper()}" if event.slot else ""
        return format_html('<a href="{}">Turn {}{}</a>', url, event.turn_id, side)
