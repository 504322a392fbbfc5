"""HTTP by Django, WebSockets by channels, start and stop by the lifespan protocol."""

from __future__ import annotations

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
http = get_asgi_application()

# These need the applications loaded.
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.conf import settings  # noqa: E402

from arena import generation  # noqa: E402
from arena.urls import websocket_urlpatterns  # noqa: E402
from config.celery import app as celery_app  # noqa: E402
from config.embedded import EmbeddedWorker  # noqa: E402


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()  # lifespan.startup
    worker = EmbeddedWorker(celery_app) if settings.EMBEDDED_WORKER else None
    if worker:
        worker.start()
    await send({"type": "lifespan.startup.complete"})
    await receive()  # lifespan.shutdown
    await generation.shutdown()
    if worker:
        worker.stop()
    await send({"type": "lifespan.shutdown.complete"})


application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": AllowedHostsOriginValidator(URLRouter(websocket_urlpatterns)),
        "lifespan": lifespan,
    }
)
