"""The dialects the arena speaks, by the name an endpoint stores."""

from __future__ import annotations

from arena.backends.base import Adapter
from arena.backends.openai import OpenAIAdapter

ADAPTERS: dict[str, Adapter] = {adapter.kind: adapter for adapter in (OpenAIAdapter(),)}
