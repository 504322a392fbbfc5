"""Model servers that we did not write, installed and started for the tests of this folder.

They live in var/interop, apart from the project's own environment: their dependencies are theirs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from arena.local_models import sources
from arena.local_models.catalogue import SMOLLM2_135M
from arena.local_models.process import ModelServer, Serving

PROJECT = Path(__file__).resolve().parents[2]
HOME = PROJECT / "var" / "interop"
REQUIREMENTS = PROJECT / "requirements-interop.txt"
AIMOCK = "@copilotkit/aimock@1.43.0"
AIMOCK_SHA512 = (
    "V8D8cjSMtAR4rHaD2ulp3DR/ZguXQjDNOqwKDNvjb/OJL/KR1I0SDf5xpRCd+TYKjhmf9fM8Xpg3QBKPmV9Kmw=="
)
LITELLM = "litellm[proxy]==1.106.2"  # the release the recorded exchanges are from
ALIAS = "smollm2-135m"
KEY = "sk-interop-0123456789"
PATIENCE = 60.0  # seconds until a server has to answer


def environment(name: str, *arguments: str) -> Path:
    """The Python of an environment with `pip install ARGUMENTS`, made anew when they change."""
    folder = HOME / name
    wanted = hashlib.sha256("\n".join(arguments).encode())
    for argument in arguments:
        if Path(argument).is_file():
            wanted.update(Path(argument).read_bytes())
    stamp = folder / "installed"
    python = folder / "bin" / "python"
    if not stamp.is_file() or stamp.read_text() != wanted.hexdigest():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, *arguments], check=True)
        stamp.write_text(wanted.hexdigest())
    return python


def python() -> Path:
    return environment("venv", "--requirement", str(REQUIREMENTS))


def aimock() -> list[str] | None:
    """The command of the mock server for Node, None where there is no Node."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return None
    folder = HOME / "node"
    lock = folder / "node_modules" / ".package-lock.json"
    script = folder / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
    if not lock.is_file() or AIMOCK_SHA512 not in lock.read_text():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}\n')
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run([npm, "install", *options, AIMOCK], cwd=folder, check=True)
    installed = json.loads(lock.read_text())["packages"]["node_modules/@copilotkit/aimock"]
    if installed["integrity"] != f"sha512-{AIMOCK_SHA512}":
        raise RuntimeError(f"{AIMOCK} is not the package that was reviewed")
    return [node, str(script)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], url: str, log: Path, **environ: str) -> Iterator[None]:
    """A server process, from its first answer at `url` until the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **environ}
        )
    try:
        until = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(url, timeout=5, trust_env=False)
                break
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command[:4]} does not answer:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Llmock:
    """The mock server from PyPI: told what to break, it judges the client afterwards."""

    url: str

    def script(self, *behaviors: dict[str, Any]) -> None:
        """Each is used up by the next request it fits."""
        self._call("POST", "reset")
        if behaviors:
            self._call("POST", "scenario", {"behaviors": list(behaviors)})

    def verdict(self) -> dict[str, Any]:
        return self._call("GET", "verdict")

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        url = f"{self.url}/_llmock/{path}"
        response = httpx.request(method, url, json=body, timeout=10, trust_env=False)
        response.raise_for_status()
        return response.json()


@contextlib.contextmanager
def llmock(log: Path, *options: str) -> Iterator[Llmock]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    start = "from llmock.cli import app; app()"
    command = [str(python()), "-c", start, "serve", "--host", "127.0.0.1", "--port", str(port)]
    with running([*command, *options], f"{url}/_llmock/requests", log):
        yield Llmock(url)


@contextlib.contextmanager
def aimock_server(command: list[str], fixtures: Path, log: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    options = ["--port", str(port), "--fixtures", str(fixtures), "--chunk-size", "8", "--strict"]
    with running([*command, *options], f"{url}/v1/models", log):
        yield url


class LlamaCpp:
    """llama.cpp with real weights, in the child process the arena serves local models with."""

    def __init__(self, log: Path) -> None:
        self._restarted = threading.Event()
        self.base_url = ""
        self.api_key = ""
        self._failure = ""
        self._server = ModelServer(
            log=log,
            on_loading=lambda serving: None,
            on_ready=self._on_ready,
            on_failed=self._on_failed,
            on_restart=lambda reason, seconds: None,
            command=(str(python()), "-m", "arena.local_models.server"),
            backoff=(0.1,),
        )

    def __enter__(self) -> LlamaCpp:
        weights = sources.fetch(
            SMOLLM2_135M,
            sources.cache_folder(),
            name=ALIAS,
            stop=threading.Event(),
            on_event=lambda event: None,
        )
        self._server.start()
        if not self._server.serve(Serving(ALIAS, ALIAS, weights)):
            self._server.stop()
            raise RuntimeError(f"the model could not be loaded: {self._failure}")
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.stop()

    def kill(self) -> None:
        """SIGKILL, as the kernel does it when memory runs out."""
        self._restarted.clear()
        assert self._server.pid is not None
        os.kill(self._server.pid, 9)

    def wait_restarted(self) -> None:
        if not self._restarted.wait(PATIENCE):
            raise RuntimeError("the server did not come back")

    def _on_ready(self, serving: Serving, base_url: str, api_key: str) -> None:
        self.base_url, self.api_key = base_url, api_key
        self._restarted.set()

    def _on_failed(self, serving: Serving, message: str) -> None:
        self._failure = message


@contextlib.contextmanager
def litellm(upstream: LlamaCpp, folder: Path) -> Iterator[str]:
    """A LiteLLM proxy in front of llama.cpp: all four facades over real weights."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    config = {
        "model_list": [
            {
                "model_name": "smollm2",
                "litellm_params": {
                    "model": f"openai/{ALIAS}",
                    "api_base": upstream.base_url,
                    "api_key": upstream.api_key,
                },
            }
        ],
        "general_settings": {"master_key": KEY},
    }
    file = folder / "litellm.yaml"
    file.write_text(json.dumps(config))  # JSON is YAML
    command = environment("litellm", LITELLM).parent / "litellm"
    options = ["--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
    with running(
        [str(command), *options, "--telemetry", "False"],
        f"{url}/health/liveliness",
        folder / "litellm.log",
        LITELLM_LOCAL_MODEL_COST_MAP="True",
    ):
        yield url
