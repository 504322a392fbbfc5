"""The administrator's page of the arena's settings: what would be drawn how often, then saving it.

What is saved is what was shown: the odds are worked out first, and the button under them sends the
same values again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.validators import MinValueValidator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from arena import arena_settings, pairing, sampler
from arena.models import ArenaSettings, Contestant

ENDS = 10  # pairs shown from either end


def check_weight(weight: float, reason: str) -> None:
    """Weights are public, so whoever is drawn more or less than the others is so for a reason."""
    if weight != 1 and not reason:
        raise forms.ValidationError(
            "Give the reason for this weight: it is published with it. Only a weight of 1 needs "
            "none.",
            code="no_reason",
        )


class SettingsForm(forms.ModelForm):
    """The settings, and the weight of every contestant that is in battles or could be."""

    version = forms.IntegerField(widget=forms.HiddenInput)

    class Meta:
        model = ArenaSettings
        fields = ("sampler", "active_floor", "needs_max_age_hours", "pacing")
        widgets = {"sampler": forms.RadioSelect, "pacing": forms.RadioSelect}

    def __init__(
        self, *args: Any, contestants: Sequence[Contestant], may_weigh: bool, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.contestants = contestants
        self.fields["version"].initial = self.instance.version
        for contestant in contestants:
            self.fields[f"weight_{contestant.pk}"] = forms.FloatField(
                label=f"Weight of {contestant.name}",
                initial=int(contestant.weight)
                if contestant.weight.is_integer()
                else contestant.weight,
                validators=[MinValueValidator(0)],
                disabled=not may_weigh,
                widget=forms.NumberInput(attrs={"step": "any", "min": "0"}),
            )
            self.fields[f"reason_{contestant.pk}"] = forms.CharField(
                label=f"Reason for the weight of {contestant.name}",
                initial=contestant.weight_reason,
                max_length=200,
                required=False,
                disabled=not may_weigh,
            )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        for pk, (weight, reason) in self.new_weights(cleaned).items():
            try:
                check_weight(weight, reason)
            except forms.ValidationError as error:
                self.add_error(f"reason_{pk}", error)
        return cleaned

    def new_weights(self, cleaned: dict[str, Any]) -> dict[int, tuple[float, str]]:
        """Those of contestants that are given another weight or reason."""
        return {
            c.pk: (cleaned[f"weight_{c.pk}"], cleaned[f"reason_{c.pk}"])
            for c in self.contestants
            if {f"weight_{c.pk}", f"reason_{c.pk}"} <= cleaned.keys()
            and (cleaned[f"weight_{c.pk}"], cleaned[f"reason_{c.pk}"])
            != (c.weight, c.weight_reason)
        }

    def new_settings(self) -> dict[str, Any]:
        return {
            name: self.cleaned_data[name]
            for name in self.Meta.fields
            if self.cleaned_data[name] != self.initial[name]
        }

    def changes(self) -> list[str]:
        """In words, for the page and for the log."""
        said = []
        for name, value in self.new_settings().items():
            field = self.instance._meta.get_field(name)
            shown = dict(field.flatchoices)
            before = self.initial[name]
            said.append(
                f"{str(field.verbose_name).capitalize()}: {shown.get(before, before)} → "
                f"{shown.get(value, value)}"
            )
        new_weights = self.new_weights(self.cleaned_data)
        for contestant in self.contestants:
            if contestant.pk in new_weights:
                said.append(f"{contestant.name}: {weight_change(contestant, new_weights)}")
        return said


def weight_change(contestant: Contestant, new: dict[int, tuple[float, str]]) -> str:
    weight, reason = new[contestant.pk]
    return f"weight {contestant.weight:g} → {weight:g}" + (f" ({reason})" if reason else "")


@dataclass(frozen=True, slots=True)
class Pair:
    one: str
    other: str
    once_in: float
    percent: float
    before_percent: float | None = None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What these odds mean, for people."""

    sampler: str
    pairs: int
    never: int  # pairs that may not meet
    smallest: Pair | None
    likeliest: list[Pair]
    rarest: list[Pair]


def outlook(
    odds: pairing.Odds, names: dict[int, str], before: pairing.Odds | None = None
) -> Outlook:
    ranked = odds.ranked()
    size = len(odds.models)
    known = set(before.models) if before else set()

    def pair(one: int, other: int, chance: float) -> Pair:
        was = 100 * before.probability(one, other) if before and {one, other} <= known else None
        return Pair(names[one], names[other], 1 / chance, 100 * chance, was)

    def shown(some: Iterable[tuple[int, int, float]]) -> list[Pair]:
        return [pair(*each) for each in some]

    return Outlook(
        sampler=odds.sampler,
        pairs=len(ranked),
        never=size * (size - 1) // 2 - len(ranked),
        smallest=pair(*ranked[-1]) if ranked else None,
        likeliest=shown(ranked[:ENDS]),
        rarest=shown(ranked[ENDS:][-ENDS:]),
    )


@admin.register(ArenaSettings)
class ArenaSettingsAdmin(admin.ModelAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseRedirect:
        return redirect("admin:arena_arenasettings_changelist")  # there is but one

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """GET: the settings and the odds as they are. POST: the odds as they would be, or save."""
        may_change = self.has_change_permission(request)
        if not may_change and (request.method == "POST" or not self.has_view_permission(request)):
            raise PermissionDenied
        house = ArenaSettings.objects.filter(pk=1).first() or ArenaSettings()
        contestants = list(
            Contestant.objects.filter(
                status__in=[Contestant.Status.ACTIVE, Contestant.Status.PREVIEW],
                endpoint__enabled=True,
            ).order_by("name")
        )
        # Worked out before the form is: validating writes the new values into the instance.
        now = _odds(contestants, house, {})
        form = SettingsForm(
            request.POST or None,
            instance=house,
            contestants=contestants,
            may_weigh=may_change and request.user.has_perm("arena.change_contestant"),
        )
        asked = request.method == "POST" and form.is_valid()
        if asked and request.POST.get("do") == "save" and self._save(request, form):
            return redirect("admin:arena_arenasettings_changelist")
        new = _odds(contestants, house, form.new_weights(form.cleaned_data)) if asked else None
        names = {contestant.pk: contestant.name for contestant in contestants}
        needs = sampler.newest_needs()
        return TemplateResponse(
            request,
            "admin/arena/arenasettings/page.html",
            {
                **self.admin_site.each_context(request),
                **(extra_context or {}),
                "opts": self.opts,
                "title": "Arena settings",
                "form": form,
                "settings_fields": [
                    form[name] for name in ("sampler", "active_floor", "needs_max_age_hours")
                ],
                "may_change": may_change,
                "models": _model_rows(form, now, new),
                "outlook": outlook(new or now, names, now if new else None),
                "needs": needs,
                "too_old": needs is not None and sampler.too_old(needs.made_at, house),
                "changes": form.changes() if asked else [],
                "asked": asked,
            },
        )

    def _save(self, request: HttpRequest, form: SettingsForm) -> bool:
        weights = form.new_weights(form.cleaned_data)
        changes = form.changes()
        try:
            house = arena_settings.change(
                weights=weights,
                seen_version=form.cleaned_data["version"],
                **form.new_settings(),
            )
        except arena_settings.ChangedMeanwhile:
            self.message_user(
                request,
                "Somebody else has changed the settings meanwhile. Look at them again, then save.",
                messages.ERROR,
            )
            return True
        self.log_change(request, house, "; ".join(changes) or "Nothing changed.")
        contestant_admin = self.admin_site._registry[Contestant]
        for contestant in form.contestants:
            if contestant.pk in weights:
                said = f"{weight_change(contestant, weights)}.".capitalize()
                contestant_admin.log_change(request, contestant, said)
        self.message_user(
            request, f"Saved as version {house.version}: {'; '.join(changes)}.", messages.SUCCESS
        )
        return True


@dataclass(frozen=True, slots=True)
class ModelRow:
    contestant: Contestant
    weight: forms.BoundField
    reason: forms.BoundField
    share_percent: float  # of all battles
    new_percent: float

    @property
    def changed(self) -> bool:
        return abs(self.new_percent - self.share_percent) >= 0.05


def _model_rows(form: SettingsForm, now: pairing.Odds, new: pairing.Odds | None) -> list[ModelRow]:
    shares = now.shares()
    new_shares = new.shares() if new else shares
    rows = [
        ModelRow(
            contestant,
            form[f"weight_{contestant.pk}"],
            form[f"reason_{contestant.pk}"],
            100 * shares.get(contestant.pk, 0.0),
            100 * new_shares.get(contestant.pk, 0.0),
        )
        for contestant in form.contestants
    ]
    return sorted(rows, key=lambda row: (-row.share_percent, row.contestant.name))


def _odds(
    contestants: Sequence[Contestant],
    house: ArenaSettings,
    weights: dict[int, tuple[float, str]],
) -> pairing.Odds:
    rows = [
        (c.pk, weights[c.pk][0] if c.pk in weights else c.weight, str(c.status))
        for c in sorted(contestants, key=lambda c: c.pk)
    ]
    return sampler.odds(rows, house=house)
