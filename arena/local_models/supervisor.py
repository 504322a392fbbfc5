"""From a profile's name to models that answer: fetch, make, serve, one after the other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from arena.local_models import sources, tether
from arena.local_models.catalogue import (
    PROFILES,
    Download,
    LocalModel,
    OwnFile,
    Variant,
    own_model,
)
from arena.local_models.events import (
    Event,
    Failed,
    Finished,
    Preparing,
    Ready,
    Restarting,
)
from arena.local_models.process import COMMAND, ModelServer, ServerUnavailable, Serving
from arena.local_models.sources import SourceFailed

log = logging.getLogger(__name__)

BACKGROUND = "15"  # niceness: whoever reads an answer now comes first


class LocalModels:
    """The models of one profile, and the user's own file. Two threads and one child process."""

    def __init__(
        self,
        profile: str,
        *,
        log_dir: Path,
        on_event: Callable[[Event], None],
        gguf: Path | None = None,
        cache: Path | None = None,
        server_command: Sequence[str] = COMMAND,
    ) -> None:
        """`on_event` is called from both threads, never at the same time."""
        self._models = PROFILES[profile]
        self._gguf = gguf
        self._cache = cache or sources.cache_folder()
        self._listener = on_event
        self._one_at_a_time = threading.Lock()
        self._stop = threading.Event()
        self._known: dict[str, LocalModel] = {}
        self._missing: set[str] = set()  # files that no source had
        self._server = ModelServer(
            log=log_dir / "models.log",
            command=server_command,
            on_loading=lambda serving: self._emit(Preparing(serving.name, "loading")),
            on_ready=self._on_ready,
            on_failed=lambda serving, message: self._emit(Failed(serving.name, message)),
            on_restart=lambda reason, seconds: self._emit(Restarting(reason, seconds)),
        )
        self._thread = threading.Thread(target=self._run, name="local-models", daemon=True)

    def start(self) -> None:
        """Returns at once; the rest is told by events."""
        if self._models or self._gguf:
            self._thread.start()

    def stop(self) -> None:
        """Ends the child process and whatever is being fetched or made."""
        self._stop.set()
        self._server.stop()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    @property
    def server_pid(self) -> int | None:
        return self._server.pid

    def _run(self) -> None:
        ready = 0
        try:
            # Before anything is fetched: without it the download would be for nothing.
            self._server.start()
            if self._gguf:
                ready += self._serve_own(self._gguf)
            for model in self._models:
                ready += self._serve(model)
        except tether.Stopped:
            return
        except ServerUnavailable as error:
            self._emit(Failed("", str(error)))
        except Exception as error:
            log.exception("preparing the local models")
            self._emit(Failed("", f"{type(error).__name__}: {error}"))
        self._emit(Finished(ready))

    def _serve_own(self, path: Path) -> bool:
        try:
            model = own_model(path)
        except Exception as error:  # the reader raises whatever a broken file makes it raise
            self._emit(Failed(path.name, str(error) or type(error).__name__))
            return False
        return self._serve(model)

    def _serve(self, model: LocalModel) -> bool:
        try:
            path = self._weights(model)
        except (SourceFailed, tether.CommandFailed, OSError) as error:
            self._emit(Failed(model.name, str(error)))
            return False
        self._known[model.name] = model
        return self._server.serve(Serving(model.name, model.key, path))

    def _weights(self, model: LocalModel) -> Path:
        weights = model.weights
        if isinstance(weights, OwnFile):
            return weights.path
        if isinstance(weights, Download):
            return self._fetch(weights, model.name)
        return self._make(weights, model.name)

    def _fetch(self, weights: Download, name: str) -> Path:
        if weights.file in self._missing:
            raise SourceFailed(f"it is made from {weights.file}, which could not be fetched")
        try:
            return sources.fetch(
                weights, self._cache, name=name, stop=self._stop, on_event=self._emit
            )
        except SourceFailed:
            self._missing.add(weights.file)
            raise

    def _make(self, weights: Variant, name: str) -> Path:
        target = self._cache / weights.file
        if target.is_file():
            return target
        origin = self._fetch(weights.origin, name)
        self._emit(Preparing(name, f"quantising {weights.origin.file}"))
        with sources.working_folder(self._cache) as folder:
            made = folder / weights.file
            arguments = [str(origin), str(made), weights.type_name, weights.fallback]
            # A process of its own: it would hold this one's interpreter, and may come last.
            tether.run(
                "arena.local_models.quantise",
                [*arguments, *([BACKGROUND] if weights.background else [])],
                stop=self._stop,
            )
            made.replace(target)
        return target

    def _on_ready(self, serving: Serving, base_url: str, api_key: str) -> None:
        model = self._known[serving.name]
        self._emit(Ready(base_url, api_key, serving.alias, model.card))

    def _emit(self, event: Event) -> None:
        with self._one_at_a_time:
            if self._stop.is_set():
                return
            try:
                self._listener(event)
            except Exception:
                # Whatever the listener could not do, the models go on.
                log.exception("telling of %s", type(event).__name__)
