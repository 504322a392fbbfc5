"""The local models' progress on a terminal, or as plain lines in a log."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from tqdm import tqdm

from arena.local_models.events import (
    Downloading,
    Event,
    Failed,
    Finished,
    Preparing,
    Ready,
    Restarting,
)

NEEDED = 2  # models for a battle
PLAIN_SECONDS = 5.0  # between two lines about the same download


class Reporter:
    """Says what happens, and once two models answer, where to go."""

    def __init__(self, address: str, out: TextIO | None = None) -> None:
        self._address = address
        self._out = out or sys.stdout
        self._tty = self._out.isatty()
        self._bar: Any = None  # tqdm has no types
        self._downloading = ""
        self._line_at = 0.0
        self._ready: set[str] = set()
        self._invited = False
        self._failures: list[str] = []

    def show(self, event: Event) -> None:
        if isinstance(event, Downloading):
            self._show_download(event)
            return
        self._close_bar()
        match event:
            case Preparing(name, step):
                self._line(f"  {name}: {step}")
            case Ready():
                self._show_ready(event)
            case Failed(name, message):
                self._failures.append(message)
                self._line(f"  {name or 'Local models'}: not available. {message}")
            case Restarting(reason, seconds):
                self._line(f"  The model server was {reason}; starting it again in {seconds:g} s")
            case Finished(ready):
                self._show_finished(ready)

    def _show_download(self, event: Downloading) -> None:
        if self._tty:
            if self._downloading != event.name:
                self._close_bar()
                self._bar = tqdm(
                    total=event.total,
                    desc=f"  {event.name} from {event.source}",
                    unit="B",
                    unit_scale=True,
                    file=self._out,
                    leave=True,
                )
                self._downloading = event.name
            if self._bar is not None:
                self._bar.n = event.done
                self._bar.refresh()
        elif (
            self._downloading != event.name
            or event.done == event.total
            or time.monotonic() - self._line_at >= PLAIN_SECONDS
        ):
            self._downloading = event.name
            self._line_at = time.monotonic()
            self._line(
                f"  {event.name}: {event.done / 1e6:.0f} of {event.total / 1e6:.0f} MB "
                f"from {event.source}"
            )

    def _show_ready(self, event: Ready) -> None:
        again = event.name in self._ready
        self._ready.add(event.name)
        self._line(f"  {event.name}: {'ready again' if again else 'ready'}")
        if len(self._ready) >= NEEDED and not self._invited:
            self._invited = True
            self._line(f"{self._address}  ready: ask your first question")

    def _show_finished(self, ready: int) -> None:
        if ready == 0:
            reason = self._failures[-1] if self._failures else "none was asked for"
            self._line(
                f"The site runs at {self._address} but no local model answers ({reason}). "
                f"Add any OpenAI-compatible, Anthropic, Gemini or Ollama endpoint at "
                f"{self._address}admin/arena/endpoint/add/, or serve a file you have with "
                "`make run GGUF=path`. To try again, stop with Ctrl-C and repeat `make run`: "
                "what has been downloaded is kept."
            )
        elif ready < NEEDED:
            self._line(
                "One model answers; a battle needs two. "
                f"Add another at {self._address}admin/arena/endpoint/add/"
            )
        elif self._failures:
            self._line(
                f"{ready} models answer; the others are left out. "
                "`make run` tries them again and keeps what has been downloaded."
            )

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self._downloading = ""

    def _line(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()
