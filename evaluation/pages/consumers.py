"""A run under way, sent to the page of whoever of the staff looks at it.

Looks at the rows twice a second at most, so it works across processes, with a broker or without.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from evaluation.models import Run
from evaluation.results.figures import words
from evaluation.running.progress import progress

LOOK = 0.5  # seconds between two looks
# Close codes of our own (4000–4999), for the page's script.
CLOSE_OVER, CLOSE_FORBIDDEN, CLOSE_GONE = 4000, 4403, 4404


class RunConsumer(AsyncWebsocketConsumer):
    watcher: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        # Accepted first: a refused handshake gives the page no code to explain itself with.
        await self.accept()
        if not await database_sync_to_async(self._may_look)():
            await self.close(CLOSE_FORBIDDEN)
            return
        self.watcher = asyncio.create_task(self._watch())

    async def disconnect(self, code: int) -> None:
        if self.watcher:
            self.watcher.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """The page has nothing to say here: what changes a run is a form."""

    def _may_look(self) -> bool:
        user: Any = self.scope["user"]
        return bool(user.is_active and user.is_staff and user.has_perm("evaluation.view_run"))

    async def _watch(self) -> None:
        pk = self.scope["url_route"]["kwargs"]["pk"]
        sent = None
        while True:
            found = await database_sync_to_async(self._look)(pk)
            if found is None:
                await self.close(CLOSE_GONE)
                return
            if found != sent:
                await self.send(text_data=json.dumps(found, separators=(",", ":")))
                sent = found
            if found["over"]:
                await self.close(CLOSE_OVER)
                return
            await asyncio.sleep(LOOK)

    def _look(self, pk: int) -> dict[str, Any] | None:
        """None: there is no such run."""
        run = Run.objects.select_related("task").filter(pk=pk).first()
        if run is None:
            return None
        found = progress(run)
        return found | {"words": words(found)}
