"""For the tests that try each constraint of an app's tables: attempts, and what there is to try."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from django.apps import apps
from django.db import models

Attempt = Callable[[], object]


def change(make: Callable[[], models.Model], **fields: Any) -> Attempt:
    """An attempt to give a valid row these values."""

    def attempt() -> None:
        row = make()
        type(row)._default_manager.filter(pk=row.pk).update(**fields)

    return attempt


def twice(make: Callable[[], models.Model], *names: str) -> Attempt:
    """An attempt to have two rows that agree in these fields."""

    def attempt() -> None:
        first, second = make(), make()
        type(second)._default_manager.filter(pk=second.pk).update(
            **{name: getattr(first, name) for name in names}
        )

    return attempt


def each(attempts: Mapping[str, Iterable[Attempt]]) -> Any:
    """Parametrises a test by `attempt`; `attempts` maps a constraint's name to several."""
    return pytest.mark.parametrize(
        "attempt",
        [
            pytest.param(attempt, id=f"{name}-{number}")
            for name, several in attempts.items()
            for number, attempt in enumerate(several, 1)
        ],
    )


def declared(app: str) -> set[str]:
    """The names of an app's constraints; Model.field for a field that is unique by itself."""
    names = set()
    for model in apps.get_app_config(app).get_models():
        names |= {constraint.name for constraint in model._meta.constraints}
        names |= {
            f"{model.__name__}.{field.name}"
            for field in model._meta.local_fields
            if field.unique and not field.primary_key
        }
    return names
