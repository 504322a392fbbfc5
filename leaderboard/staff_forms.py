"""What the staff may ask for when votes come in or go out."""

from __future__ import annotations

import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile

from leaderboard.formats.vote_file import FORMATS
from leaderboard.models import Category
from leaderboard.transfer import exporting, import_runs
from leaderboard.transfer.exporting import Filters
from leaderboard.transfer.importing import source_name


class ImportForm(forms.Form):
    upload = forms.FileField(label="A file from your computer", required=False, max_length=200)
    file = forms.ChoiceField(label="or one on the server", required=False)
    name = forms.SlugField(
        label="Name of the source",
        required=False,
        max_length=60,
        help_text="By default the file's. The same name again adds to what it brought before.",
    )
    format = forms.ChoiceField(label="Format", required=False)
    prefix = forms.CharField(  # type: ignore[assignment]  # not the form's own
        label="Before every model's name",
        required=False,
        max_length=50,
        strip=False,
        help_text="For sets whose names mean something only among themselves.",
    )
    licence = forms.CharField(label="Licence of the votes", required=False, max_length=100)
    url = forms.URLField(
        label="Where they come from", required=False, max_length=200, assume_scheme="https"
    )
    skip_bad = forms.BooleanField(label="Import the rest if rows cannot be read", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        files = import_runs.available()
        self.fields["file"].choices = [("", "–"), *((name, name) for name in files)]  # type: ignore[attr-defined]
        self.fields["format"].choices = [  # type: ignore[attr-defined]
            ("", "Recognise it"),
            # AutoArena's numbers need tables beside the file: that is the command's to take.
            *((each.name, each.title) for each in FORMATS),
        ]

    def clean_upload(self) -> UploadedFile | None:
        upload: UploadedFile | None = self.cleaned_data["upload"]
        if upload and (upload.size or 0) > settings.MAX_IMPORT_MB << 20:
            raise forms.ValidationError(
                f"Larger than {settings.MAX_IMPORT_MB} MB. Copy it to the server and use: "
                "manage.py import_votes FILE",
                code="too_large",
            )
        return upload

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        upload, file = cleaned.get("upload"), cleaned.get("file")
        if not self.errors and bool(upload) == bool(file):
            raise forms.ValidationError("Choose one file: yours, or one on the server.")
        if not self.errors and not cleaned.get("name"):
            name = (upload.name if upload else file) or ""
            if not source_name(name):
                self.add_error("name", "The file's name gives none.")
        return cleaned


class ExportForm(forms.Form):
    format = forms.ChoiceField(
        label="Format", choices=[(f.name, f.title) for f in exporting.FORMATS.values()]
    )
    category = forms.ModelChoiceField(
        Category.objects.none(),
        label="Category",
        required=False,
        to_field_name="slug",
        empty_label="All votes",
    )
    since = forms.DateField(
        label="From", required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    until = forms.DateField(
        label="To, that day too", required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    turns = forms.RegexField(
        r"^([1-9][0-9]{0,3}|multi)$",
        label="Turns",
        required=False,
        help_text="A number, or multi for two and more.",
        error_messages={"invalid": "A number, or multi."},
    )
    language = forms.RegexField(
        r"^[a-z]{2,3}$",
        label="Language",
        required=False,
        help_text="A code such as en.",
        error_messages={"invalid": "A code of two or three small letters."},
    )
    licence = forms.CharField(
        label="Licence of both models",
        required=False,
        max_length=500,
        help_text="Several are separated by commas.",
    )
    agreed_only = forms.BooleanField(
        label="Only where voters agree",
        required=False,
        help_text="The same prompts and models, judged at least twice and always alike.",
    )
    include_excluded = forms.BooleanField(
        label="Excluded and held votes too",
        required=False,
        help_text="Only in the plain format; training data are votes that count.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["category"].queryset = Category.objects.all()  # type: ignore[attr-defined]

    def filters(self) -> Filters:
        """Of a valid form."""
        said = self.cleaned_data
        turns = said["turns"]
        return Filters(
            category=said["category"].slug if said["category"] else "",
            since=_midnight(said["since"]),
            until=_midnight(said["until"], days=1),
            turns=int(turns) if turns.isdecimal() else None,
            multi_turn=turns == "multi",
            language=said["language"],
            licences=tuple(filter(None, (text.strip() for text in said["licence"].split(",")))),
            agreed_only=said["agreed_only"],
            include_excluded=said["include_excluded"],
        )


def _midnight(day: datetime.date | None, *, days: int = 0) -> datetime.datetime | None:
    if day is None:
        return None
    start = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
    return start + datetime.timedelta(days=days)
