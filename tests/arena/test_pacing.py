"""What is held back, when it is shown, and what the rhythm of the frames still tells."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass

import numpy as np
import pytest

from arena import pacing
from arena.live import Ended, LiveTurn, ServerEvent, SideState
from tests import simulated_time

PACE = pacing.Pace(rate=100, hold=2, patience=10)
FRAME_INTERVAL = 0.04


@dataclass(frozen=True)
class Endpoint:
    """How a model writes: the first text after `first` s, chunks of `chunk` characters, `speed`
    characters a second, each delay spread by `jitter`."""

    first: float
    speed: float
    chunk: int
    jitter: float = 0.2


@dataclass(frozen=True)
class Frame:
    at: float  # seconds since the prompt
    type: str
    slot: str
    size: int  # characters that it adds
    text: str = ""


async def write(turn: LiveTurn, slot: str, endpoint: Endpoint, text: str, rng: random.Random):
    side = turn.sides[slot]
    side.enter(SideState.STARTING)
    await asyncio.sleep(endpoint.first * rng.uniform(1 - endpoint.jitter, 1 + endpoint.jitter))
    for start in range(0, len(text), endpoint.chunk):
        if start:
            delay = endpoint.chunk / endpoint.speed
            await asyncio.sleep(delay * rng.uniform(1 - endpoint.jitter, 1 + endpoint.jitter))
        side.append(text[start : start + endpoint.chunk])
        turn.changed()
    side.html = f"<p>{text}</p>"
    side.enter(SideState.COMPLETE)
    turn.changed()


async def battle(
    mode: str, endpoints: tuple[Endpoint, Endpoint], texts: tuple[str, str], seed: int
) -> list[Frame]:
    """The frames of one battle as a browser gets them."""
    rng = random.Random(seed)
    turn = LiveTurn(battle="b", number=1, prompt="Why?", slots="ab", held=mode != pacing.RAW)

    async def generate() -> None:
        shown = (
            asyncio.create_task(pacing.run(turn, PACE, together=mode == pacing.TOGETHER))
            if turn.held
            else None
        )
        sides = zip("ab", endpoints, texts, strict=True)
        await asyncio.gather(*(write(turn, *side, rng) for side in sides))
        turn.checked = True
        if shown:
            await shown
        turn.end(Ended())

    owner = asyncio.create_task(generate())
    began = asyncio.get_running_loop().time()
    frames = []
    seen = {"a": 0, "b": 0}
    async for event in turn.follow(FRAME_INTERVAL):
        at = asyncio.get_running_loop().time() - began
        frames.append(_frame(at, event, seen))
    await owner
    return frames


def _frame(at: float, event: ServerEvent, seen: dict[str, int]) -> Frame:
    slot = event.get("slot", "")
    size = 0
    if "seq" in event:
        size = event["seq"] - seen[slot]
        seen[slot] = event["seq"]
    return Frame(round(at, 6), event["type"], slot, size, event.get("text", ""))


def play(mode, one, other, texts=("x" * 300, "y" * 500), seed=1) -> list[Frame]:
    return simulated_time.run(battle(mode, (one, other), texts, seed))


def of(frames, slot, *types):
    return [f for f in frames if f.slot == slot and (not types or f.type in types)]


QUICK = Endpoint(first=0.1, speed=2_000, chunk=500)
STEADY = Endpoint(first=1.0, speed=150, chunk=4)


# --- paced -------------------------------------------------------------------------------------


def test_both_sides_begin_together_however_soon_their_models_do():
    frames = play("paced", QUICK, STEADY)
    first = [of(frames, slot, "slot.delta")[0] for slot in "ab"]
    assert [f.at for f in first] == [2.0, 2.0]


def test_pieces_are_of_one_size_and_leave_at_one_rate():
    frames = play("paced", QUICK, STEADY)
    for slot in "ab":
        deltas = of(frames, slot, "slot.delta")
        assert {f.size for f in deltas} == {10}
        assert {round(b.at - a.at, 3) for a, b in itertools.pairwise(deltas)} == {0.1}


def test_all_of_the_text_arrives_and_each_side_ends_when_it_is_shown():
    frames = play("paced", QUICK, STEADY, ("x" * 305, "y" * 500))
    ends = {f.slot: f for f in frames if f.type == "slot.completed"}
    assert sum(f.size for f in of(frames, "a")) == 305
    assert sum(f.size for f in of(frames, "b")) == 500
    assert ends["a"].at == pytest.approx(2 + 30 * 0.1)  # 31 pieces, the first at 2 s
    assert ends["b"].at == pytest.approx(2 + 49 * 0.1)
    assert frames[-1].type == "battle.ready"


def test_whoever_writes_quickly_enough_looks_the_same():
    """To the byte: only the seeds and the models differ."""
    assert play("paced", QUICK, STEADY, seed=1) == play("paced", STEADY, QUICK, seed=2)


def test_a_slow_model_makes_both_wait_in_whole_steps():
    slow = Endpoint(first=1.0, speed=40, chunk=4)
    frames = play("paced", QUICK, slow)
    one, other = (of(frames, slot, "slot.delta") for slot in "ab")
    together = min(len(one), len(other))
    assert [f.at for f in one[:together]] == [f.at for f in other[:together]]
    gaps = {round(b.at - a.at, 3) for a, b in itertools.pairwise(other)}
    assert gaps == {0.1, 2.1}


def test_a_stalled_side_does_not_hold_the_other_for_good():
    stalled = Endpoint(first=30, speed=150, chunk=4, jitter=0)
    frames = play("paced", QUICK, stalled)
    assert of(frames, "a", "slot.delta")[0].at == 12.0  # the first hold, and the patience
    assert of(frames, "a", "slot.completed")[0].at < 30
    assert of(frames, "b", "slot.completed")[0].size > 0


def test_neither_side_begins_alone_while_both_are_silent():
    late, later = (Endpoint(first, speed=500, chunk=100, jitter=0) for first in (18.5, 19.5))
    frames = play("paced", late, later)
    assert [of(frames, slot, "slot.delta")[0].at for slot in "ab"] == [20.0, 20.0]


def test_that_a_model_is_asked_again_is_not_told():
    async def scenario():
        turn = LiveTurn(battle="b", number=1, prompt="Why?", slots="ab", held=True)
        turn.sides["a"].enter(SideState.STARTING)
        turn.sides["a"].enter(SideState.RETRYING)
        turn.changed()
        reader = turn.follow(0)
        assert (await anext(reader))["type"] == "turn.started"
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(100)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    simulated_time.run(scenario())


def test_who_comes_back_is_shown_as_much_of_either_side():
    async def scenario():
        turn = LiveTurn(battle="b", number=1, prompt="Why?", slots="ab", held=True)
        shown = asyncio.create_task(pacing.run(turn, PACE))
        rng = random.Random(1)
        writers = [
            asyncio.create_task(write(turn, "a", QUICK, "x" * 3_000, rng)),
            asyncio.create_task(write(turn, "b", STEADY, "y" * 3_000, rng)),
        ]
        await asyncio.sleep(5.05)  # 31 pieces
        reader = turn.follow(0)
        sizes = {}
        while len(sizes) < 2:
            event = await anext(reader)
            if event["type"] == "slot.delta":
                sizes[event["slot"]] = event["seq"]
        assert sizes == {"a": 310, "b": 310}
        for task in (shown, *writers):
            task.cancel()
        await asyncio.gather(shown, *writers, return_exceptions=True)

    simulated_time.run(scenario())


def test_held_back_text_is_shown_at_once_when_it_must_be():
    turn = LiveTurn(battle="b", number=1, prompt="Why?", slots="ab", held=True)
    for side in turn.sides.values():
        side.append("All of it")
        side.html = "<p>All of it</p>"
        side.enter(SideState.COMPLETE)
    turn.show_all()
    assert {side.html for side in turn.shown.values()} == {"<p>All of it</p>"}


# --- together ----------------------------------------------------------------------------------


def test_together_nothing_is_shown_before_both_are_complete():
    frames = play("together", QUICK, STEADY)
    ends = [f for f in frames if f.type != "turn.started"]
    assert [(f.type, f.slot) for f in ends] == [
        ("slot.started", "a"), ("slot.completed", "a"),
        ("slot.started", "b"), ("slot.completed", "b"),
        ("battle.ready", ""),
    ]  # fmt: skip
    assert {f.at for f in ends[:-1]} == {6.0}  # a whole number of steps, after 4.3 s of writing


# --- what the rhythm tells -----------------------------------------------------------------------

MODELS = 20
BATTLES = 800


def endpoints() -> list[Endpoint]:
    """Twenty, each with a speed, a delay and a size of chunk of its own; none slower than PACE."""
    rng = random.Random(20)
    speeds = np.geomspace(120, 1_500, MODELS)
    delays = rng.sample(list(np.linspace(0.1, 1.3, MODELS)), MODELS)
    chunks = rng.sample(list(np.geomspace(3, 120, MODELS).astype(int)), MODELS)
    return [
        Endpoint(first=float(delay), speed=float(speed), chunk=int(chunk))
        for delay, speed, chunk in zip(delays, speeds, chunks, strict=True)
    ]


def features(frames: list[Frame], slot: str) -> list[float]:
    """All that can be seen of one side without its text."""
    mine = [f for f in frames if f.slot == slot and f.size]
    sizes = np.array([f.size for f in mine], float)
    times = np.array([f.at for f in mine], float)
    gaps = np.diff(times) if len(times) > 1 else np.zeros(1)
    return [
        times[0],
        times[-1],
        len(mine),
        *(sizes[0], sizes.mean(), sizes.std(), *np.quantile(sizes, [0.1, 0.5, 0.9])),
        *(gaps.mean(), gaps.std(), gaps.max(), *np.quantile(gaps, [0.1, 0.5, 0.9])),
        sizes.sum() / max(times[-1] - times[0], 0.01),
    ]


async def _samples(mode: str) -> list[tuple[list[float], int]]:
    rng = random.Random(4)
    models = endpoints()
    found = []
    for number in range(BATTLES):
        pair = rng.sample(range(MODELS), 2)
        # Of one distribution for all, so that a length says nothing about a model.
        texts = tuple("x" * round(rng.lognormvariate(6, 0.4)) for _ in pair)
        frames = await battle(mode, (models[pair[0]], models[pair[1]]), texts, number)
        found += [(features(frames, slot), pair[i]) for i, slot in enumerate("ab")]
    return found


def named(mode: str) -> float:
    """The share of sides whose model a classifier names, that has learnt from half of the battles.

    The better of two: nearest neighbours, and Gaussians with a variance for each model's features.
    """
    samples = simulated_time.run(_samples(mode))
    x = np.array([sample for sample, _ in samples])
    y = np.array([model for _, model in samples])
    half = len(y) // 2
    mean, spread = x[:half].mean(0), x[:half].std(0)
    x = (x - mean) / np.where(spread > 1e-9, spread, 1)
    guesses = (_nearest(x[:half], y[:half], x[half:]), _gaussian(x[:half], y[:half], x[half:]))
    return max(float((guess == y[half:]).mean()) for guess in guesses)


def _nearest(known, models, asked, k: int = 9):
    distances = ((asked[:, None, :] - known[None, :, :]) ** 2).sum(2)
    nearest = models[np.argsort(distances, axis=1, kind="stable")[:, :k]]
    return np.array([np.bincount(row, minlength=MODELS).argmax() for row in nearest])


def _gaussian(known, models, asked):
    scores = np.empty((len(asked), MODELS))
    for model in range(MODELS):
        mine = known[models == model]
        mean, variance = mine.mean(0), mine.var(0) + 1e-2
        scores[:, model] = -(((asked - mean) ** 2) / variance + np.log(variance)).sum(1)
    return scores.argmax(1)


def test_the_rhythm_of_raw_frames_names_the_model():
    """The classifier can see what there is to be seen."""
    assert named("raw") > 0.5


def test_the_rhythm_of_paced_frames_names_nobody():
    assert named("paced") <= 1 / MODELS + 0.05
