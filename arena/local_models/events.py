"""What happens to the local models, as the supervisor tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Downloading:
    """`done` of `total` bytes of the weights are here."""

    name: str
    source: str
    done: int
    total: int


@dataclass(frozen=True)
class Preparing:
    """A step without a measure: unpacking, checking, quantising, loading."""

    name: str
    step: str


@dataclass(frozen=True)
class Ready:
    """A model answers at `base_url`. Sent again, with another address, after a restart."""

    base_url: str
    api_key: str
    upstream_model: str
    card: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.card["name"])


@dataclass(frozen=True)
class Restarting:
    """The model server has died; nothing answers until the models are ready again."""

    reason: str
    seconds: float


@dataclass(frozen=True)
class Failed:
    """One model, or with an empty name all of them, cannot be had. The others go on."""

    name: str
    message: str


@dataclass(frozen=True)
class Finished:
    """Everything that was asked for is ready or has failed."""

    ready: int


Event = Downloading | Preparing | Ready | Restarting | Failed | Finished
