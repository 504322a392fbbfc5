"""What keeps a battle blind: the search for names finds them, and the side is a coin."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from arena import live, pairing
from tests import canaries
from tests.scripted_backend import LABELLED_USAGE

MODEL_LIST = b'<details class="contestants"><li>CANARY-11</li></details>'


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"slot.delta","model":"CANARY-11"}',
        b"x-upstream-request: req-canary-12",
        b"<p>canary-13 endpoint</p>",
        b"$11.7315 per million",
        str(LABELLED_USAGE[1]).encode(),
        MODEL_LIST + b"<h2>CANARY-11</h2>",
    ],
)
def test_a_canary_is_found_wherever_it_stands(data):
    assert canaries.search(data)


def test_the_public_list_of_models_alone_may_name_them():
    assert canaries.search(MODEL_LIST + b"<h2>Model A</h2>") == []
    assert canaries.model_lists(b"<main>" + MODEL_LIST + b"</main>") == [MODEL_LIST]


def test_the_address_of_the_models_server_is_found():
    assert canaries.search(b"cannot connect to 127.0.0.1:4711", also=(":4711",))
    assert canaries.search(b"cannot connect", also=(":4711",)) == []


async def test_a_frame_that_names_its_model_is_found(monkeypatch):
    """On a build that puts the name into each frame."""

    async def frames() -> list[bytes]:
        turn = live.LiveTurn(battle="b", number=1, prompt="Why?", slots="ab")
        turn.sides["a"].append("Hello")
        turn.end(live.Ended())
        return [json.dumps(event).encode() async for event in turn.follow(0)]

    assert not any(canaries.search(frame) for frame in await frames())
    delta = live._Cursor._delta
    monkeypatch.setattr(
        live._Cursor, "_delta", lambda cursor: {**delta(cursor), "model": "CANARY-11"}
    )
    assert any(canaries.search(frame) for frame in await frames())


def test_no_model_sits_on_one_side_more_often_than_on_the_other():
    weights = {1: 5.0, 2: 1.0, 3: 1.0, 4: 0.5, 5: 2.0, 6: 1.0}
    odds = pairing.odds(tuple(pairing.Entrant(model, w) for model, w in weights.items()))
    rng = random.Random(11)
    draws = [odds.draw(rng) for _ in range(40_000)]
    assert abs(sum(draw.swapped for draw in draws) / len(draws) - 0.5) <= 0.005
    left, right = Counter(d.left for d in draws), Counter(d.right for d in draws)
    for model in weights:
        assert abs(left[model] / (left[model] + right[model]) - 0.5) <= 0.02
