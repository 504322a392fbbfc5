"""`make run`: the whole arena in one process group, from an empty folder."""

from __future__ import annotations

import errno
import secrets
import signal
import socket
from argparse import ArgumentParser
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, CommandError, call_command
from django.db import connection

from arena import registration
from arena.consumers import MAX_FRAME
from arena.local_models.catalogue import PROFILES
from arena.local_models.events import Event, Ready, Restarting
from arena.local_models.progress import Reporter
from arena.local_models.supervisor import LocalModels


class Command(BaseCommand):
    help = "Migrate, create an administrator, serve local models and start the site."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--models", choices=sorted(PROFILES), default="small")
        parser.add_argument("--gguf", type=Path, help="a model file of your own")

    def handle(self, *, models: str, gguf: Path | None, **options: Any) -> None:
        if gguf and not gguf.is_file():
            raise CommandError(f"There is no file {gguf}. GGUF= takes the path of a model file.")
        # SIGTERM leaves by the same way as Ctrl-C: everything below is stopped on the way out.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt), listen(settings.HOST, settings.PORT) as listener:
            self.serve(listener, models=models, gguf=gguf)
        self.stdout.write("\nStopped.")

    def serve(self, listener: socket.socket, *, models: str, gguf: Path | None) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        self.create_administrator()
        registration.disable_local_models()
        address = site_address(settings.HOST, settings.PORT)
        reporter = Reporter(address)
        local = LocalModels(
            models,
            gguf=gguf,
            log_dir=settings.DATA_DIR / "log",
            on_event=lambda event: self.on_model_event(event, reporter),
        )
        self.stdout.write(f"Arena is at {self.style.SUCCESS(address)}  (Ctrl-C stops everything)")
        if models == "none" and gguf is None:
            self.stdout.write(
                f"No local models. Register your own at {address}admin/arena/endpoint/add/"
            )
        self.stdout.flush()
        server = uvicorn.Server(
            uvicorn.Config(
                "config.asgi:application",
                log_level="warning",
                access_log=False,
                lifespan="on",
                ws_max_size=MAX_FRAME,
                ws_per_message_deflate=False,
                timeout_graceful_shutdown=5,
            )
        )
        try:
            local.start()
            server.run(sockets=[listener])
        finally:
            local.stop()
        if not server.started:
            raise CommandError("The site could not start; the lines above say why.")

    def create_administrator(self) -> None:
        users = get_user_model().objects
        if users.filter(is_superuser=True).exists():
            return
        password = secrets.token_urlsafe(12)
        users.create_superuser("admin", password=password)
        self.stdout.write(
            f"Administrator created: user {self.style.SUCCESS('admin')}, "
            f"password {self.style.SUCCESS(password)}\n"
            "  Shown this once. Change it with: .venv/bin/python manage.py changepassword admin"
        )

    def on_model_event(self, event: Event, reporter: Reporter) -> None:
        """Called from the supervisor's threads."""
        try:
            if isinstance(event, Ready):
                registration.register_local_model(
                    base_url=event.base_url,
                    api_key=event.api_key,
                    upstream_model=event.upstream_model,
                    card=event.card,
                )
            elif isinstance(event, Restarting):
                registration.disable_local_models()
        finally:
            connection.close()
        reporter.show(event)


def site_address(host: str, port: int) -> str:
    """Where a browser on this machine finds the site."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104
        host = "127.0.0.1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def listen(host: str, port: int) -> socket.socket:
    """The bound socket the site will answer on: taken first, so that nothing else is begun."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    # A port that only lingers in TIME_WAIT is free.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Two processes may both bind with SO_REUSEADDR; only one may listen.
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise CommandError(
                f"Port {port} on {host} is in use. Stop what runs there, or choose another "
                f"port with the variable PORT: make run PORT={port + 1}"
            ) from error
        raise CommandError(
            f"Cannot listen on {host}:{port}: {error.strerror}. "
            "Set the variables HOST and PORT to an address of this machine."
        ) from error
    return listener
