"""The battle socket: protocol only. One socket a page, for the voter who owns the battle."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.http import parse_cookie
from django.urls import reverse

from arena import (
    battles,
    chosen,
    generation,
    mirror,
    networks,
    protocol,
    regenerating,
    turns,
    voters,
)
from arena.battles import Refused, StartedTurn
from arena.live import ServerEvent
from arena.models import Battle
from arena.moderation.checking import record

FRAMES_PER_SECOND = 20
MAX_FRAME = 64 * 1024  # bytes; uvicorn is told the same (--ws-max-size)
# Close codes of our own (4000–4999), for the page's script.
CLOSE_NO_COOKIE, CLOSE_TOO_FAST, CLOSE_TOO_BIG = 4401, 4429, 4413


class BattleConsumer(AsyncWebsocketConsumer):
    voter_key: str | None = None
    battle: str | None = None  # public id of the battle this page shows
    reader: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        self.received: deque[float] = deque(maxlen=FRAMES_PER_SECOND)
        headers = dict(self.scope["headers"])
        self.voter_key = voters.key_from(parse_cookie(headers.get(b"cookie", b"").decode("latin1")))
        await self.accept()
        if self.voter_key is None:
            # After accepting: a refused handshake gives the page no code to explain itself with.
            await self.close(CLOSE_NO_COOKIE)

    async def disconnect(self, code: int) -> None:
        self._stop_reading()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        now = asyncio.get_running_loop().time()
        if len(self.received) == FRAMES_PER_SECOND and now - self.received[0] < 1:
            await self.close(CLOSE_TOO_FAST)
            return
        self.received.append(now)
        if len(text_data or bytes_data or "") > MAX_FRAME:
            await self.close(CLOSE_TOO_BIG)
            return
        try:
            if text_data is None:
                raise protocol.BadMessage("only text frames are understood")
            await self._handle(protocol.parse(text_data))
        except protocol.BadMessage as error:
            await self._send({"type": "error", "code": "bad_message", "message": str(error)})
        except Refused as error:
            event: ServerEvent = {"type": "error", "code": error.code, "message": error.message}
            if error.retry_after is not None:
                event["retry_after"] = error.retry_after
            await self._send(event)

    async def _handle(self, event: protocol.ClientEvent) -> None:
        match event:
            case protocol.Submit():
                battles.check_prompt(event.prompt)
                verdict = await generation.current().moderator.check_prompt(event.prompt)
                started = await database_sync_to_async(self._submit)(event)
                live = generation.current().start(started)
                if event.battle is None:
                    url = reverse("arena:battle", args=[live.battle])
                    await self._send({"type": "battle.created", "battle": live.battle, "url": url})
                self._read(live.battle, live.follow(settings.FRAME_INTERVAL))
                if verdict.notice:
                    await self._send({"type": "notice", "message": verdict.notice})
                if verdict.noteworthy:
                    await database_sync_to_async(record)(verdict, turn_id=started.turn.pk)
            case protocol.Regenerate():
                started = await database_sync_to_async(self._regenerate)(event)
                live = generation.current().start(started)
                self._read(live.battle, live.follow(settings.FRAME_INTERVAL))
            case protocol.Stop():
                if self.battle and not generation.current().stop(self.battle):
                    await database_sync_to_async(turns.request_stop)(public_id=self.battle)
            case protocol.Resume(battle):
                await database_sync_to_async(self._own)(battle)
                running = generation.current().find(battle)
                self._read(
                    battle,
                    running.follow(settings.FRAME_INTERVAL) if running else mirror.follow(battle),
                )

    def _own(self, public_id: str) -> Battle:
        battle = Battle.objects.filter(public_id=public_id, voter__key=self.voter_key).first()
        if battle is None:
            raise Refused("not_found", "There is no such battle, or it belongs to somebody else.")
        return battle

    def _submit(self, event: protocol.Submit) -> StartedTurn:
        network = networks.prefix_of(self.scope)
        if event.battle is not None:
            battle = self._own(event.battle)
            return battles.take_turn(
                battle_id=battle.pk, prompt=event.prompt, network=network, images=event.images
            )
        before = self._own(event.continues) if event.continues is not None else None
        assert self.voter_key is not None, "closed otherwise"
        voter = voters.ensure(self.voter_key)
        if event.terms is not None:
            voters.accept_terms(voter=voter, version=event.terms)
        new: dict[str, Any] = {
            "voter": voter,
            "prompt": event.prompt,
            "network": network,
            "images": event.images,
        }
        if before is not None:
            return chosen.continue_battle(battle_id=before.pk, **new)
        if (wanted := event.chosen) is not None:
            return chosen.open_chosen(
                mode=wanted.mode, models=wanted.models, parameters=wanted.parameters, **new
            )
        return battles.open_battle(**new)

    def _regenerate(self, event: protocol.Regenerate) -> StartedTurn:
        return regenerating.regenerate(
            battle_id=self._own(event.battle).pk,
            slot=event.slot,
            network=networks.prefix_of(self.scope),
        )

    def _read(self, battle: str, events: AsyncIterator[ServerEvent]) -> None:
        """Forward events in a task of their own, so that Stop is heard meanwhile."""
        self._stop_reading()
        self.battle = battle
        self.reader = asyncio.create_task(self._forward(events))

    def _stop_reading(self) -> None:
        if self.reader:
            self.reader.cancel()

    async def _forward(self, events: AsyncIterator[ServerEvent]) -> None:
        async for event in events:
            await self._send(event)

    async def _send(self, event: Mapping[str, Any]) -> None:
        await self.send(text_data=json.dumps(event, ensure_ascii=False, separators=(",", ":")))
