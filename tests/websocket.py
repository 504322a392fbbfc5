"""A WebSocket to an ASGI application without a server, speaking the protocol by hand.

channels' own testing package wants daphne, which nothing else here needs.
"""

from __future__ import annotations

from typing import Any

from asgiref.testing import ApplicationCommunicator


class TestSocket:
    __test__ = False

    def __init__(self, application: Any, path: str, headers: list[tuple[bytes, bytes]]) -> None:
        self._communicator = ApplicationCommunicator(
            application,
            {
                "type": "websocket",
                "path": path,
                "query_string": b"",
                "headers": headers,
                "subprotocols": [],
            },
        )

    async def connect(self) -> bool:
        """True when the application accepts."""
        await self._communicator.send_input({"type": "websocket.connect"})
        return (await self.output())["type"] == "websocket.accept"

    async def send(self, text: str) -> None:
        await self._communicator.send_input({"type": "websocket.receive", "text": text})

    async def send_bytes(self, data: bytes) -> None:
        await self._communicator.send_input({"type": "websocket.receive", "bytes": data})

    async def output(self) -> dict[str, Any]:
        return await self._communicator.receive_output(5)

    async def receive(self) -> str:
        message = await self.output()
        assert message["type"] == "websocket.send", message
        return message["text"]

    async def disconnect(self, code: int = 1000) -> None:
        await self._communicator.send_input({"type": "websocket.disconnect", "code": code})
        await self._communicator.wait(5)
