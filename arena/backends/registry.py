"""The dialects the arena speaks, by the name an endpoint stores."""

from __future__ import annotations

from arena.backends.anthropic import AnthropicAdapter
from arena.backends.base import Adapter
from arena.backends.gemini import GeminiAdapter
from arena.backends.ollama import OllamaAdapter
from arena.backends.openai import OpenAIAdapter

_ALL: tuple[Adapter, ...] = (OpenAIAdapter(), AnthropicAdapter(), GeminiAdapter(), OllamaAdapter())

ADAPTERS: dict[str, Adapter] = {adapter.kind: adapter for adapter in _ALL}
