"""`make run`'s command: real processes, from an empty folder, stopped as a person stops them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from django.core.management import CommandError, call_command

from arena.management.commands.run import listen, site_address
from tests.running_site import free_port

PROJECT = Path(__file__).resolve().parent.parent


def test_a_port_in_use_is_named_with_the_variable_that_changes_it():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CommandError, match=rf"Port {port} .* in use.*PORT={port + 1}"):
            listen("127.0.0.1", port)


def test_an_address_of_another_machine_is_named_with_its_variable():
    with pytest.raises(CommandError, match="variables HOST and PORT"):
        listen("192.0.2.1", 8000)  # TEST-NET-1, RFC 5737


def test_the_port_is_held_from_the_first_moment():
    port = free_port()
    with listen("127.0.0.1", port), pytest.raises(CommandError, match="in use"):
        listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/"),
        ("0.0.0.0", "http://127.0.0.1:8000/"),
        ("::1", "http://[::1]:8000/"),
    ],
)
def test_the_address_shown_can_be_opened(host, address):
    assert site_address(host, 8000) == address


def test_a_model_file_that_is_not_there_is_told_before_anything_starts(tmp_path):
    with pytest.raises(CommandError, match="There is no file"):
        call_command("run", gguf=tmp_path / "nowhere.gguf")


class Run:
    """`manage.py run` in a process group of its own, with what it printed."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.port = free_port()
        self.output = folder / f"output-{self.port}"
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
        }
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "run", *arguments],
                cwd=PROJECT,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={
                    **inherited,
                    "ARENA_PROFILE": "demo",
                    "ARENA_DATA_DIR": str(folder / "var"),
                    "PORT": str(self.port),
                    **environment,
                },
            )

    @property
    def text(self) -> str:
        return self.output.read_text()

    def wait_until(self, condition) -> None:
        deadline = time.monotonic() + 50
        while not condition():
            assert self.process.poll() is None, self.text
            assert time.monotonic() < deadline, self.text
            threading.Event().wait(0.05)

    def answers(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=20) as response:
                return response.status == 200
        except URLError:
            return False

    def stop(self, how: signal.Signals) -> int:
        """As a terminal does: the signal goes to the whole group."""
        os.killpg(self.process.pid, how)
        return self.process.wait(timeout=40)


def test_the_site_runs_without_models_and_stops_without_a_trace(tmp_path):
    run = Run(tmp_path, "--models", "none")
    try:
        run.wait_until(run.answers)
        code = run.stop(signal.SIGINT)
    finally:
        run.process.kill()
    assert code == 0
    assert "Traceback" not in run.text
    assert "ERROR" not in run.text
    assert f"Arena is at http://127.0.0.1:{run.port}/" in run.text
    assert "Register your own" in run.text
    assert re.search(r"user admin, password \S{12,}", run.text)


@pytest.mark.faults
def test_a_second_start_keeps_the_administrator_and_sigterm_ends_it_cleanly(tmp_path):
    first = Run(tmp_path, "--models", "none")
    first.wait_until(first.answers)
    assert first.stop(signal.SIGTERM) == 0
    second = Run(tmp_path, "--models", "none")
    second.wait_until(second.answers)
    assert second.stop(signal.SIGTERM) == 0
    assert "password" in first.text
    assert "password" not in second.text
    assert "Traceback" not in first.text + second.text


@pytest.mark.faults
def test_without_a_network_the_site_starts_and_says_how_to_go_on(tmp_path):
    run = Run(
        tmp_path,
        "--models", "small",
        PIP_NO_INDEX="1",
        PIP_CONFIG_FILE=os.devnull,
        ARENA_MODEL_CACHE=str(tmp_path / "cache"),
    )  # fmt: skip
    try:
        run.wait_until(lambda: "no local model answers" in run.text)
        run.wait_until(run.answers)
        code = run.stop(signal.SIGINT)
    finally:
        run.process.kill()
    assert code == 0
    assert "admin/arena/endpoint/add/" in run.text
    assert "repeat `make run`" in run.text
    assert "Traceback" not in run.text


@pytest.mark.faults
def test_two_sites_on_one_port_are_refused_before_the_database_is_touched(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        run = Run(tmp_path, "--models", "none", PORT=str(other.getsockname()[1]))
        assert run.process.wait(timeout=40) == 1
    assert "make run PORT=" in run.text
    assert "Traceback" not in run.text
    assert not (tmp_path / "var" / "arena.sqlite3").exists()
