"""A battle page as a client of its own: it asks, reads, and comes back when the line is cut."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from django.core.signing import Signer

ENDS = ("battle.ready", "battle.void", "error")


@dataclass
class Reader:
    """One voter with one page. Comes back to the next of `addresses` after each cut."""

    addresses: Sequence[str]
    secret_key: str
    raw: list[str] = field(default_factory=list)  # every frame received
    battle: str | None = None
    shown: dict[str, str] = field(default_factory=dict)  # text on the screen, by slot
    whole: dict[str, dict[str, Any]] = field(default_factory=dict)  # slot.completed, by slot
    mixed: list[str] = field(default_factory=list)  # texts that do not continue what was shown
    cuts: int = 0
    last: dict[str, Any] = field(default_factory=dict)  # the event that ended the turn
    ended_at: float = 0.0
    started: asyncio.Event = field(default_factory=asyncio.Event)  # both sides show text
    _before: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        key = secrets.token_hex(16)
        signed = Signer(key=self.secret_key, salt="arena.voter", fallback_keys=[]).sign(key)
        self._cookie = f"arena_voter={signed}"

    async def ask(self, session: aiohttp.ClientSession, prompt: str = "Why?") -> dict[str, Any]:
        """The event that ended the turn."""
        self.battle, self.shown, self.whole = None, {}, {}
        self.started.clear()
        event: dict[str, Any] = {"type": "turn.submit", "prompt": prompt, "battle": None}
        attempt = 0
        while True:
            address = self.addresses[attempt % len(self.addresses)]
            try:
                headers = {"Origin": address, "Cookie": self._cookie}
                async with session.ws_connect(f"{address}/ws/battle/", headers=headers) as socket:
                    await socket.send_json(event)
                    if await self._read(socket):
                        return self.last
            except aiohttp.ClientError:
                pass
            self.cuts += 1
            attempt += 1
            assert self.battle is not None, "cut before the battle had a name"
            event = {"type": "resume", "battle": self.battle, "last_seq": {}}
            await asyncio.sleep(0.3)

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> bool:
        """True at the end of the turn, False when the line was cut."""
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                return False
            self.raw.append(message.data)
            event = json.loads(message.data)
            self._take(event)
            if event["type"] in ENDS:
                self.last, self.ended_at = event, time.monotonic()
                return True
        return False

    def _take(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "battle.created":
                self.battle = event["battle"]
            case "turn.started":
                self._before, self.shown = self.shown, {}
            case "slot.delta":
                slot = event["slot"]
                before = "" if event.get("reset") else self.shown.get(slot, "")
                self.shown[slot] = before + event.get("text", "")
                if set(self.shown) == {"a", "b"}:
                    self.started.set()
                # What is shown again agrees with what was shown, as far as both go.
                one, other = self.shown[slot], self._before.get(slot, "")
                if not (one.startswith(other) or other.startswith(one)):
                    self.mixed.append(one)
            case "slot.completed":
                self.whole[event["slot"]] = event
