"""The Messages dialect: Anthropic, and servers that copy it (llama.cpp, vLLM, LiteLLM).

Source: https://docs.anthropic.com/en/api/messages-streaming. Copies differ: llama.cpp may leave
out `message_start`, LiteLLM may answer a request for a stream with one JSON document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arena.backends.answer import Answer, expect_text
from arena.backends.base import (
    BackendError,
    ChatRequest,
    FinishReason,
    HttpRequest,
    Message,
    Parser,
    Target,
)
from arena.backends.body import BodyParser, list_in, names_in, object_in
from arena.backends.errors import response_error, stream_error
from arena.backends.urls import join

VERSION = "2023-06-01"

_FINISH = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.CONTENT_FILTER,
    "tool_use": FinishReason.TOOL_CALLS,
}


class AnthropicAdapter:
    """`seed` has no counterpart in this dialect and is not sent."""

    kind = "anthropic"
    title = "Anthropic (messages)"
    default_base_url = "https://api.anthropic.com"

    def chat(self, target: Target, request: ChatRequest) -> HttpRequest:
        body: dict[str, Any] = {
            "model": request.model,
            "max_tokens": request.max_tokens,
            "messages": [
                {"role": m.role, "content": _content(m)}
                for m in request.messages
                if m.role != "system"
            ],
            "stream": request.stream,
        }
        system = "\n\n".join(m.content for m in request.messages if m.role == "system")
        if system:
            body["system"] = system
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.top_p is not None:
            body["top_p"] = request.top_p
        if request.stop:
            body["stop_sequences"] = list(request.stop)
        url = join(target.base_url, "/messages", prefix="/v1")
        return HttpRequest("POST", url, self._headers(target), body)

    def models(self, target: Target) -> HttpRequest:
        url = join(target.base_url, "/models", prefix="/v1", query={"limit": "1000"})
        return HttpRequest("GET", url, self._headers(target))

    def model_names(self, body: bytes) -> list[str]:
        return names_in(body, "data", "id")

    def parser(self, content_type: str) -> Parser:
        return BodyParser(read)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> BackendError:
        return response_error(status, headers, body)

    @staticmethod
    def _headers(target: Target) -> dict[str, str]:
        headers = {"anthropic-version": VERSION}
        if target.api_key:
            headers["x-api-key"] = target.api_key
        return headers


def _content(message: Message) -> str | list[dict[str, Any]]:
    """A plain string, or blocks: pictures are understood best before the text on them."""
    if not message.images:
        return message.content
    images = [
        {
            "type": "image",
            "source": {
                "type": "base64",
                "media_type": image.content_type,
                "data": image.base64(),
            },
        }
        for image in message.images
    ]
    return [*images, {"type": "text", "text": message.content}]


def read(answer: Answer, event: dict[str, Any]) -> None:
    """One event of a stream, or one whole message. `ping` and unknown types say nothing."""
    kind = event.get("type")
    if kind == "error" or event.get("error") or event.get("detail"):
        raise stream_error(event)
    if kind == "message_start":
        message = object_in(event, "message")
        answer.upstream_id(message.get("id"))
        # the output count in it is not the answer's: it comes with message_delta
        answer.usage(_input(message.get("usage")))
    elif kind == "content_block_start":
        _read_block(answer, object_in(event, "content_block"))
    elif kind == "content_block_delta":
        _read_delta(answer, object_in(event, "delta"))
    elif kind == "message_delta":
        _read_end(answer, object_in(event, "delta"), event.get("usage"))
    elif kind == "message_stop":
        answer.over = True
    elif kind == "message":
        answer.upstream_id(event.get("id"))
        for block in list_in(event, "content"):
            if isinstance(block, dict):
                _read_block(answer, block)
        _read_end(answer, event, event.get("usage"))


def _read_delta(answer: Answer, delta: dict[str, Any]) -> None:
    kind = delta.get("type")
    if kind == "text_delta":
        answer.text(delta.get("text"))
    elif kind == "thinking_delta":
        answer.reasoning(delta.get("thinking"))
    elif kind == "citations_delta":
        _read_citation(answer, delta.get("citation"))


def _read_block(answer: Answer, block: dict[str, Any]) -> None:
    """A block of a whole message; in a stream it is empty and its deltas follow."""
    kind = block.get("type")
    if kind == "text":
        answer.text(block.get("text"))
        for citation in list_in(block, "citations"):
            _read_citation(answer, citation)
    elif kind == "thinking":
        answer.reasoning(block.get("thinking"))


def _read_citation(answer: Answer, citation: Any) -> None:
    if isinstance(citation, dict):
        answer.citation(citation.get("url"), citation.get("title"))


def _read_end(answer: Answer, end: dict[str, Any], usage: Any) -> None:
    if isinstance(usage, dict):
        answer.usage(_input(usage), usage.get("output_tokens"))
    reason = end.get("stop_reason")
    if reason:
        reason = expect_text(reason)
        answer.finish(_FINISH.get(reason, FinishReason.OTHER), reason)


def _input(usage: Any) -> int | None:
    """All tokens read: `input_tokens` leaves out those that came from or went to the cache."""
    if not isinstance(usage, dict):
        return None
    counts = [
        usage.get(name)
        for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    ]
    if counts[0] is None:
        return None
    return sum(count for count in counts if type(count) is int)
