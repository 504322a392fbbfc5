"""The chat completions dialect: OpenAI, vLLM, llama.cpp, LM Studio, Groq, Mistral, OpenRouter, …

Source: https://platform.openai.com/docs/api-reference/chat and what the servers in
tests/interop really send. Perplexity's `citations` and `search_results` are read as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arena.backends.answer import Answer
from arena.backends.base import (
    BackendError,
    ChatRequest,
    ErrorKind,
    FinishReason,
    HttpRequest,
    Parser,
    Target,
)
from arena.backends.body import BodyParser, names_in
from arena.backends.errors import response_error, stream_error
from arena.backends.urls import host_of, join

_FINISH = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,  # Together
    "eos_token": FinishReason.STOP,  # TGI
    "stop_sequence": FinishReason.STOP,  # TGI
    "end_turn": FinishReason.STOP,  # gateways that forget to translate Anthropic's word
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
}
_FAILED = {"error", "abort"}  # OpenRouter, vLLM: the engine gave up, the answer is not complete


class OpenAIAdapter:
    kind = "openai"
    title = "OpenAI-compatible (chat completions)"
    default_base_url = "https://api.openai.com/v1"

    def chat(self, target: Target, request: ChatRequest) -> HttpRequest:
        # OpenAI's reasoning models refuse `max_tokens`; most other servers know no other name.
        limit = "max_tokens"
        if host_of(target.base_url) == "api.openai.com":
            limit = "max_completion_tokens"
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            limit: request.max_tokens,
            "stream": request.stream,
        }
        if request.stream:
            body["stream_options"] = {"include_usage": True}
        for name in ("temperature", "top_p", "seed"):
            value = getattr(request, name)
            if value is not None:
                body[name] = value
        if request.stop:
            body["stop"] = list(request.stop)
        url = join(target.base_url, "/chat/completions")
        return HttpRequest("POST", url, self._headers(target), body)

    def models(self, target: Target) -> HttpRequest:
        return HttpRequest("GET", join(target.base_url, "/models"), self._headers(target))

    def model_names(self, body: bytes) -> list[str]:
        return names_in(body, "data", "id")

    def parser(self, content_type: str) -> Parser:
        return BodyParser(read)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> BackendError:
        return response_error(status, headers, body)

    @staticmethod
    def _headers(target: Target) -> dict[str, str]:
        if not target.api_key:
            return {}
        if host_of(target.base_url).endswith(".openai.azure.com"):
            return {"api-key": target.api_key}
        return {"Authorization": f"Bearer {target.api_key}"}


def read(answer: Answer, chunk: dict[str, Any]) -> None:
    """One `chat.completion.chunk`, or one whole `chat.completion`."""
    if chunk.get("error") or chunk.get("object") == "error":
        raise stream_error(chunk)
    choices = chunk.get("choices")
    if choices is None and chunk.get("detail"):
        raise stream_error(chunk)
    answer.upstream_id(chunk.get("id"))
    for choice in _list(choices):
        if not isinstance(choice, dict):
            raise BackendError(ErrorKind.PROTOCOL, "a choice is not an object")
        if choice.get("index", 0) in (0, None):
            _read_choice(answer, choice)
    _read_sources(answer, chunk)
    usage = chunk.get("usage")
    if isinstance(usage, dict):
        answer.usage(usage.get("prompt_tokens"), usage.get("completion_tokens"))


def _read_choice(answer: Answer, choice: dict[str, Any]) -> None:
    message = choice.get("delta") or choice.get("message") or {}
    if not isinstance(message, dict):
        raise BackendError(ErrorKind.PROTOCOL, "a delta is not an object")
    answer.reasoning(message.get("reasoning_content") or message.get("reasoning"))
    content = message.get("content")
    if isinstance(content, list):
        for part in content:
            _read_part(answer, part)
    else:
        answer.text(content or message.get("refusal"))
    for note in _list(message.get("annotations")):
        source = note.get("url_citation") if isinstance(note, dict) else None
        if isinstance(source, dict):
            answer.citation(source.get("url"), source.get("title"))
    reason = choice.get("finish_reason")
    if reason:
        if reason in _FAILED:
            raise BackendError(ErrorKind.UPSTREAM, f"finish_reason {reason!r}")
        answer.finish(_FINISH.get(str(reason), FinishReason.OTHER), str(reason))


def _read_part(answer: Answer, part: Any) -> None:
    """A part of a content list: Mistral's reasoning models send text and thinking so."""
    if isinstance(part, str):
        answer.text(part)
    elif isinstance(part, dict):
        if part.get("type") == "thinking":
            for thought in _list(part.get("thinking")):
                if isinstance(thought, dict):
                    answer.reasoning(thought.get("text"))
        else:
            answer.text(part.get("text"))


def _read_sources(answer: Answer, chunk: dict[str, Any]) -> None:
    for result in _list(chunk.get("search_results")):
        if isinstance(result, dict):
            answer.citation(result.get("url"), result.get("title"))
    for url in _list(chunk.get("citations")):
        answer.citation(url)


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise BackendError(ErrorKind.PROTOCOL, f"a list expected, got {type(value).__name__}")
    return value
