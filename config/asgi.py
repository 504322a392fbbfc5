"""HTTP by Django, WebSockets by channels, start and stop by the lifespan protocol."""

from __future__ import annotations

import asyncio
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
http = get_asgi_application()
# WhiteNoise hands out its files synchronously; Django reads such a small file whole, which is well.
warnings.filterwarnings("ignore", "StreamingHttpResponse must consume synchronous iterators")

# These need the applications loaded.
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402

from arena import generation  # noqa: E402
from arena.urls import websocket_urlpatterns as battle_sockets  # noqa: E402
from config.celery import app as celery_app  # noqa: E402
from config.embedded import EmbeddedWorker  # noqa: E402
from evaluation.urls import websocket_urlpatterns as run_sockets  # noqa: E402


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()  # lifespan.startup
    loop = asyncio.get_running_loop()
    keeper = ThreadPoolExecutor(1, thread_name_prefix="keep database open")
    if "pool" not in connection.settings_dict["OPTIONS"]:
        # Closing SQLite's last connection writes its whole log back and waits for the disk, and
        # here every connection would be the last one: the first token came 30 ms later.
        await loop.run_in_executor(keeper, lambda: connection.ensure_connection())
    worker = None
    if settings.EMBEDDED_WORKER:
        # In a thread: while it is made the worker closes database connections, which Django
        # refuses where an event loop runs.
        worker = await asyncio.to_thread(EmbeddedWorker, celery_app)
    if worker:
        worker.start()
    await send({"type": "lifespan.startup.complete"})
    await receive()  # lifespan.shutdown
    await generation.shutdown()
    if worker:
        worker.stop()
    await loop.run_in_executor(keeper, lambda: connection.close())
    keeper.shutdown()
    await send({"type": "lifespan.shutdown.complete"})


application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": AllowedHostsOriginValidator(URLRouter([*battle_sockets, *run_sockets])),
        "lifespan": lifespan,
    }
)
