"""`make run`: the whole arena in one process group, from an empty folder."""

from __future__ import annotations

import errno
import secrets
import socket
from argparse import ArgumentParser
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
from arena.local_models.progress import Reporter
from arena.local_models.supervisor import Event, LocalModels, Ready


class Command(BaseCommand):
    help = "Migrate, create an administrator, serve local models and start the site."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--models", choices=sorted(PROFILES), default="small")
        parser.add_argument("--gguf", type=Path, help="a model file of your own")

    def handle(self, *, models: str, gguf: Path | None, **options: Any) -> None:
        check_port_is_free(settings.HOST, settings.PORT)
        call_command("migrate", interactive=False, verbosity=0)
        self.create_administrator()
        registration.disable_local_models()
        address = f"http://{settings.HOST}:{settings.PORT}/"
        reporter = Reporter()
        local = LocalModels(
            models,
            gguf=gguf,
            log_dir=settings.DATA_DIR / "log",
            on_event=lambda event: self.on_model_event(event, reporter),
        )
        self.stdout.write(f"Arena is at {self.style.SUCCESS(address)}  (Ctrl-C stops everything)")
        if models == "none" and gguf is None:
            self.stdout.write(f"No local models. Register your own at {address}admin/")
        local.start()
        try:
            uvicorn.run(
                "config.asgi:application",
                host=settings.HOST,
                port=settings.PORT,
                log_level="warning",
                access_log=False,
                lifespan="on",
                ws_max_size=MAX_FRAME,
                ws_per_message_deflate=False,
                timeout_graceful_shutdown=5,
            )
        finally:
            local.stop()

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
        """Called from the supervisor's thread."""
        if isinstance(event, Ready):
            try:
                registration.register_local_model(
                    base_url=event.base_url,
                    api_key=event.api_key,
                    upstream_model=event.upstream_model,
                    card=event.card,
                )
            finally:
                connection.close()
        reporter.show(event)


def check_port_is_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the server will: a port that only lingers in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CommandError(
                    f"Port {port} on {host} is in use. Stop what runs there, or choose another "
                    f"port with the variable PORT: make run PORT={port + 1}"
                ) from error
            raise CommandError(
                f"Cannot listen on {host}:{port}: {error.strerror}. "
                "Set the variables HOST and PORT to an address of this machine."
            ) from error
