"""The model server process: real child processes, with a script in the model server's place."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from arena.local_models import tether
from arena.local_models.process import ModelServer, ServerUnavailable, Serving
from tests.arena.local_models.witness import Witness, has_ended

FAKE = (sys.executable, "-m", "tests.arena.local_models.fake_server")


@pytest.fixture
def told():
    """What the server reports, in order."""
    return queue.Queue()


@pytest.fixture
def server(tmp_path, told):
    running = ModelServer(
        log=tmp_path / "log" / "models.log",
        on_loading=lambda serving: told.put(("loading", serving.name)),
        on_ready=lambda serving, url, key: told.put(("ready", serving.name, url, key)),
        on_failed=lambda serving, message: told.put(("failed", serving.name, message)),
        on_restart=lambda reason, seconds: told.put(("restart", reason)),
        command=FAKE,
        backoff=(0.01,),
    )
    yield running
    running.stop()


def serving(name: str) -> Serving:
    return Serving(name, name.lower(), Path(f"/models/{name}.gguf"))


def next_told(told, kind: str):
    while True:
        event = told.get(timeout=20)
        if event[0] == kind:
            return event


def test_models_are_served_one_after_the_other(server, told):
    server.start()
    assert server.serve(serving("One"))
    assert server.serve(serving("Two"))
    one, two = next_told(told, "ready"), next_told(told, "ready")
    assert (one[1], two[1]) == ("One", "Two")
    assert one[2].startswith("http://127.0.0.1:")
    assert len(one[3]) >= 32, "a key nobody guesses"


def test_a_refused_file_leaves_the_others_alone(server, told):
    server.start()
    assert server.serve(serving("One"))
    assert not server.serve(serving("refused"))
    assert next_told(told, "failed") == ("failed", "refused", "not a model")
    assert server.serve(serving("Two"))


def test_a_killed_child_is_started_again_and_serves_everything_with_a_new_key(server, told):
    server.start()
    server.serve(serving("One"))
    server.serve(serving("Two"))
    before = [next_told(told, "ready") for _ in range(2)]
    os.kill(server.pid, signal.SIGKILL)
    assert next_told(told, "restart") == ("restart", "killed by signal 9")
    after = [next_told(told, "ready") for _ in range(2)]
    assert [event[1] for event in after] == ["One", "Two"]
    assert {event[2] for event in before}.isdisjoint(event[2] for event in after)
    assert {event[3] for event in before}.isdisjoint(event[3] for event in after)


def test_a_file_that_kills_the_server_is_dropped_and_the_others_return(server, told):
    server.start()
    server.serve(serving("One"))
    assert not server.serve(serving("crashes"))
    failed = next_told(told, "failed")
    assert failed[1] == "crashes"
    assert "killed by signal 6 while loading it" in failed[2]
    assert next_told(told, "ready")[1] == "One"
    assert server.serve(serving("Two"))


def test_a_machine_that_cannot_serve_says_why_and_is_not_tried_again(server, told, monkeypatch):
    monkeypatch.setenv("FAKE_SERVER_UNAVAILABLE", "1")
    with pytest.raises(ServerUnavailable, match="no such runtime"):
        server.start()
    assert told.empty()


def test_a_server_that_cannot_even_start_is_unavailable(tmp_path):
    broken = ModelServer(
        log=tmp_path / "models.log",
        on_loading=print,
        on_ready=print,
        on_failed=print,
        on_restart=print,
        command=(sys.executable, "-c", "raise SystemExit(3)"),
    )
    with pytest.raises(ServerUnavailable, match="ended with exit code 3"):
        broken.start()
    broken.stop()


def test_stopping_ends_the_child_and_whoever_waits_for_it(server, monkeypatch):
    with Witness() as witness:
        monkeypatch.setenv("WITNESS_PORT", str(witness.port))
        server.start()
        _, line = witness.arrival()
        server.serve(serving("One"))
        server.stop()
        assert has_ended(line)
    with pytest.raises(tether.Stopped):
        server.serve(serving("Late"))


def test_the_key_is_not_on_the_childs_command_line(server, told):
    server.start()
    server.serve(serving("One"))
    key = next_told(told, "ready")[3]
    listing = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(server.pid)], capture_output=True, text=True
    ).stdout
    assert "fake_server" in listing
    assert key not in listing


PARENT = """
import sys, threading
from pathlib import Path
from arena.local_models.process import ModelServer
nothing = lambda *ignored: None
server = ModelServer(log=Path(sys.argv[1]), on_loading=nothing, on_ready=nothing,
                     on_failed=nothing, on_restart=nothing, command=sys.argv[2:])
server.start()
threading.Event().wait()
"""


def test_the_child_dies_when_the_site_is_killed(tmp_path, monkeypatch):
    with Witness() as witness:
        monkeypatch.setenv("WITNESS_PORT", str(witness.port))
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(tmp_path / "models.log"), *FAKE],
            cwd=tether.PROJECT,
        )
        try:
            _, line = witness.arrival()
        finally:
            parent.kill()
            parent.wait()
        assert has_ended(line)
