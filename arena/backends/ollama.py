"""Ollama's native dialect: `/api/chat`, one JSON object a line.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md. The line with `done: true` ends the
answer; older versions give no `done_reason` with it.
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
from arena.backends.body import BodyParser, names_in, object_in
from arena.backends.errors import response_error, stream_error
from arena.backends.urls import join

_FINISH = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}


class OllamaAdapter:
    kind = "ollama"
    title = "Ollama (native)"
    default_base_url = "http://127.0.0.1:11434"

    def chat(self, target: Target, request: ChatRequest) -> HttpRequest:
        options: dict[str, Any] = {"num_predict": request.max_tokens}
        for name in ("temperature", "top_p", "seed"):
            value = getattr(request, name)
            if value is not None:
                options[name] = value
        if request.stop:
            options["stop"] = list(request.stop)
        body = {
            "model": request.model,
            "messages": [_message(m) for m in request.messages],
            "stream": request.stream,
            "options": options,
        }
        url = join(target.base_url, "/chat", prefix="/api")
        return HttpRequest("POST", url, self._headers(target), body)

    def models(self, target: Target) -> HttpRequest:
        url = join(target.base_url, "/tags", prefix="/api")
        return HttpRequest("GET", url, self._headers(target))

    def model_names(self, body: bytes) -> list[str]:
        return names_in(body, "models", "name")

    def parser(self, content_type: str) -> Parser:
        return BodyParser(read, lines=True)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> BackendError:
        return response_error(status, headers, body)

    @staticmethod
    def _headers(target: Target) -> dict[str, str]:
        # Ollama itself knows no keys; a proxy in front of it, or ollama.com, does
        return {"Authorization": f"Bearer {target.api_key}"} if target.api_key else {}


def _message(message: Message) -> dict[str, Any]:
    plain: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.images:
        plain["images"] = [image.base64() for image in message.images]
    return plain


def read(answer: Answer, line: dict[str, Any]) -> None:
    """One line of the stream, or the one object of an answer that was not streamed."""
    if line.get("error") or line.get("detail"):
        raise stream_error(line)
    message = object_in(line, "message")
    answer.reasoning(message.get("thinking"))
    answer.text(message.get("content"))
    if line.get("done") is True:
        answer.usage(line.get("prompt_eval_count"), line.get("eval_count"))
        reason = expect_text(line.get("done_reason") or "stop")
        answer.finish(_FINISH.get(reason, FinishReason.OTHER), reason)
        answer.over = True
