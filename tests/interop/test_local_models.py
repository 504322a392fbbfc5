"""`make run`'s models with real weights, on llama.cpp's own server, through the arena's client.

Fetches about 100 MB into the model cache on the first run; skipped where that is not possible.
"""

from __future__ import annotations

import asyncio
import os
import queue
import signal

import httpx
import pytest

pytest.importorskip("xllamacpp")

from arena.backends.base import (
    BackendError,
    ChatRequest,
    ErrorKind,
    Finish,
    FinishReason,
    Message,
    Target,
    TextDelta,
    Timeouts,
    Usage,
)
from arena.backends.client import BackendClient
from arena.backends.guard import AddressPolicy
from arena.local_models.events import Failed, Finished, Ready
from arena.local_models.supervisor import LocalModels

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

FACTS = {
    "What is the capital of Japan?": "tokyo",
    "What is the capital of Germany?": "berlin",
    "What is the largest planet in the solar system?": "jupiter",
    "Which planet is known as the Red Planet?": "mars",
    "Who wrote Romeo and Juliet?": "shakespeare",
    "Which animal is the largest mammal?": "whale",
    "Who developed the theory of relativity?": "einstein",
    "What is the largest ocean on Earth?": "pacific",
}


class Running:
    def __init__(self, local: LocalModels, events: queue.Queue) -> None:
        self.local = local
        self.events = events
        self.ready: dict[str, Ready] = {}

    def wait_for(self, kind: type) -> None:
        while True:
            event = self.events.get(timeout=500)
            if isinstance(event, Failed):
                pytest.skip(f"{event.name or 'local models'}: {event.message}")
            if isinstance(event, Ready):
                self.ready[event.card["quantisation"]] = event
            if isinstance(event, kind):
                return


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    events: queue.Queue = queue.Queue()
    local = LocalModels("small", log_dir=tmp_path_factory.mktemp("log"), on_event=events.put)
    running = Running(local, events)
    local.start()
    try:
        running.wait_for(Finished)
        yield running
    finally:
        local.stop()


async def answer(model: Ready, *messages: Message, **options) -> list:
    target = Target(
        kind="openai",
        base_url=model.base_url,
        api_key=options.pop("api_key", model.api_key),
        timeouts=Timeouts(connect=5, first_token=120, gap=60, total=300),
    )
    request = ChatRequest(
        model=model.upstream_model,
        messages=messages,
        **{"max_tokens": 40, "temperature": 0, **options},
    )
    # A client each: this server closes its connection after a stream without saying so first, and
    # a request that follows at once on the same connection may be lost.
    client = BackendClient(AddressPolicy(["127.0.0.1:*"]))
    try:
        return [event async for event in client.stream_chat(target, request)]
    finally:
        await client.aclose()


def text_of(events: list) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def facts_known(model: Ready) -> int:
    known = 0
    for question, fact in FACTS.items():
        known += fact in text_of(await answer(model, Message("user", question))).lower()
    return known


async def test_three_models_answer_with_usage_and_an_end(small):
    assert set(small.ready) == {"Q4_1", "Q4_0", "Q2_K"}
    for model in small.ready.values():
        events = await answer(model, Message("user", "Say hello."), max_tokens=8)
        assert text_of(events)
        assert isinstance(events[-1], Finish)
        usage = [event for event in events if isinstance(event, Usage)][-1]
        assert 1 <= usage.output_tokens <= 8
        assert usage.input_tokens > 5


async def test_both_sides_of_a_battle_are_answered_at_once(small):
    question = Message("user", "Explain what the moon is.")
    sides = await asyncio.gather(
        *(answer(small.ready[kind], question) for kind in ("Q4_1", "Q4_0"))
    )
    assert all(len(text_of(events)) > 20 for events in sides)


async def test_the_difference_a_vote_should_find_is_there(small):
    good = await facts_known(small.ready["Q4_1"])
    near = await facts_known(small.ready["Q4_0"])
    broken = await facts_known(small.ready["Q2_K"])
    assert min(good, near) >= 5
    assert broken <= 1


async def test_a_length_limit_is_kept_and_named(small):
    events = await answer(
        small.ready["Q4_1"], Message("user", "Count to one hundred."), max_tokens=5
    )
    assert events[-1].reason is FinishReason.LENGTH


async def test_a_prompt_too_long_is_refused_as_such(small):
    with pytest.raises(BackendError) as refused:
        await answer(small.ready["Q4_1"], Message("user", "word " * 5000))
    assert refused.value.kind is ErrorKind.CONTEXT_LENGTH


async def test_the_servers_are_closed_to_whoever_has_no_key(small):
    model = small.ready["Q4_1"]
    with pytest.raises(BackendError) as refused:
        await answer(model, Message("user", "Hello"), api_key="guess")
    assert refused.value.kind is ErrorKind.AUTHENTICATION
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {model.api_key}"}) as http:
        # Would show what others asked.
        assert (await http.get(f"{model.base_url.removesuffix('/v1')}/slots")).status_code != 200


async def test_a_killed_server_comes_back_with_all_models(small):
    before = dict(small.ready)
    small.ready.clear()
    os.kill(small.local.server_pid, signal.SIGKILL)
    while len(small.ready) < len(before):
        await asyncio.to_thread(small.wait_for, Ready)
    for kind, model in small.ready.items():
        assert model.api_key != before[kind].api_key
        events = await answer(model, Message("user", "Say hello."), max_tokens=8)
        assert text_of(events)
