"""Pictures in a prompt, as each dialect documents them; without pictures nothing is different."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from arena.backends.base import ChatRequest, Image, Message, Target
from arena.backends.registry import ADAPTERS

PNG = Image("image/png", b"\x89PNG and so on")
JPEG = Image("image/jpeg", b"\xff\xd8\xff and so on")
PNG_64 = base64.b64encode(PNG.data).decode()
JPEG_64 = base64.b64encode(JPEG.data).decode()


def body(kind: str, *messages: Message) -> Any:
    request = ChatRequest("m", messages, max_tokens=9)
    sent = ADAPTERS[kind].chat(Target(kind, "https://api.example", "key"), request).json
    return json.loads(json.dumps(sent))  # it must be JSON


TALK = (
    Message("system", "Be brief."),
    Message("user", "What are these?", (PNG, JPEG)),
    Message("assistant", "A cat and a dog."),
    Message("user", "Which is bigger?"),
)


def test_chat_completions_take_data_urls_in_parts():
    assert body("openai", *TALK)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG_64}"}},
                {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{JPEG_64}"}},
                {"type": "text", "text": "What are these?"},
            ],
        },
        {"role": "assistant", "content": "A cat and a dog."},
        {"role": "user", "content": "Which is bigger?"},
    ]


def test_messages_take_image_blocks():
    assert body("anthropic", *TALK)["messages"] == [
        {
            "role": "user",
            "content": [
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": PNG_64},
                },
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/jpeg", "data": JPEG_64},
                },
                {"type": "text", "text": "What are these?"},
            ],
        },
        {"role": "assistant", "content": "A cat and a dog."},
        {"role": "user", "content": "Which is bigger?"},
    ]


def test_gemini_takes_inline_data():
    assert body("gemini", *TALK)["contents"] == [
        {
            "role": "user",
            "parts": [
                {"inlineData": {"mimeType": "image/png", "data": PNG_64}},
                {"inlineData": {"mimeType": "image/jpeg", "data": JPEG_64}},
                {"text": "What are these?"},
            ],
        },
        {"role": "model", "parts": [{"text": "A cat and a dog."}]},
        {"role": "user", "parts": [{"text": "Which is bigger?"}]},
    ]


def test_ollama_takes_bare_base64_beside_the_text():
    assert body("ollama", *TALK)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What are these?", "images": [PNG_64, JPEG_64]},
        {"role": "assistant", "content": "A cat and a dog."},
        {"role": "user", "content": "Which is bigger?"},
    ]


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
def test_a_message_without_pictures_is_the_plain_one(kind):
    # What these bodies look like is in test_dialects; here, that an empty tuple changes nothing.
    assert body(kind, Message("user", "Hi.")) == body(kind, Message("user", "Hi.", ()))
    assert "image" not in json.dumps(body(kind, Message("user", "Hi.")))


def test_a_picture_is_not_written_into_a_log():
    assert "so on" not in repr(Message("user", "Hi.", (PNG,)))
