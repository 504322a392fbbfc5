"""Fixtures of the arena: staff, the folder of images, and a battle page at scripted models."""

from __future__ import annotations

import pytest
from channels.db import database_sync_to_async as in_database
from django.contrib.auth.models import Permission

from arena import generation
from tests import factories
from tests.arena.socket_page import Page
from tests.scripted_backend import ScriptedBackend


@pytest.fixture
def staff(client, django_user_model):
    """Logs in a member of staff who may do just what is named."""

    def log_in(*permissions):
        user = django_user_model.objects.create_user("clerk", password="x", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def kept(settings, tmp_path):
    """The folder of the images."""
    settings.STORAGES = {
        **settings.STORAGES,
        "attachments": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path)},
        },
    }
    return tmp_path


@pytest.fixture
async def backend():
    async with ScriptedBackend() as running:
        yield running
        await generation.shutdown()


@pytest.fixture
def quick(settings):
    settings.FRAME_INTERVAL = 0.005
    settings.CHECKPOINT_INTERVAL = 0.03


@pytest.fixture
def models(backend, quick):
    """Makes two contestants that behave as named, and returns them."""

    def make(*scripts: str, **endpoint_fields):
        endpoint = factories.endpoint(base_url=backend.base_url, **endpoint_fields)
        return [
            factories.contestant(
                endpoint=endpoint, upstream_model=script, name=f"CANARY-{number}-{script}"
            )
            for number, script in enumerate(scripts)
        ]

    return lambda *scripts, **fields: in_database(make)(*scripts, **fields)


@pytest.fixture
async def page():
    page = await Page().open()
    yield page
    await page.close()
