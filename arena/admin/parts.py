"""What several pages of the administration have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest


class ReadOnly:
    """Looked at here, changed elsewhere: battles and votes are what happened."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class KeyForm(forms.ModelForm):
    """A form of something with an API key: it takes a new one, and never shows the present one."""

    new_api_key = forms.CharField(
        label="New API key",
        required=False,
        strip=True,
        widget=forms.PasswordInput(
            render_value=False, attrs={"autocomplete": "new-password", "class": "vTextField"}
        ),
        help_text="Stored encrypted, never shown again. Leave empty to keep the present key.",
    )
    erase_api_key = forms.BooleanField(label="Erase the stored key", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding:
            self.fields["new_api_key"].label = "API key"
            self.fields[
                "new_api_key"
            ].help_text = "Stored encrypted, never shown again. Leave empty if none is needed."

    def clean_new_api_key(self) -> str:
        key: str = self.cleaned_data["new_api_key"]
        if not (key.isascii() and key.isprintable()):
            raise ValidationError("An API key is sent in a header: plain ASCII, no line breaks.")
        return key


def save_with_key(request: HttpRequest, form: KeyForm, save: Callable[..., bool]) -> None:
    """Save what the form is about; `save` says whether its key had to go with its old address."""
    erased = save(
        form.instance,
        new_api_key=form.cleaned_data.get("new_api_key", ""),
        erase_key=form.cleaned_data.get("erase_api_key", False),
    )
    if erased:
        messages.warning(
            request,
            "The scheme, host or port changed, so the stored API key was erased. "
            "Enter the key of the new address.",
        )
