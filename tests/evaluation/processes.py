"""For tests that start a process on the test's own database and wait for what it asks."""

from __future__ import annotations

import os
import threading
from typing import Any

from django.db import connection


def environment(**variables: str) -> dict[str, str]:
    """The suite's own, with the site's settings on the test's database."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{database['NAME']}"
    else:
        url = "postgres://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**database)
    settings = {"DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_URL": url}
    return {**os.environ, **settings, **variables}


class Noticing(list[Any]):
    """A scripted backend's requests, which say when there are enough of them."""

    def __init__(self, event: threading.Event, enough: int = 1) -> None:
        super().__init__()
        self._event, self._enough = event, enough

    def append(self, request: Any) -> None:
        super().append(request)
        if len(self) >= self._enough:
            self._event.set()
