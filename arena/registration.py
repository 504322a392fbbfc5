"""Registering endpoints and contestants: the rules that hold whoever registers them."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from arena import breakers
from arena.backends.base import BackendError
from arena.backends.guard import AddressPolicy, is_public
from arena.backends.registry import ADAPTERS
from arena.models import Contestant, Endpoint, ModerationSettings

NAME_LENGTH = 100  # of a contestant, in characters
UPSTREAM_LENGTH = 200


def default_base_url(kind: str) -> str:
    """Where a kind of server usually answers; empty for a kind nobody knows."""
    adapter = ADAPTERS.get(kind)
    return adapter.default_base_url if adapter else ""


def check_base_url(base_url: str) -> str:
    """A URL the arena may be pointed at. The address it leads to is checked again on connecting."""
    base_url = base_url.strip()
    try:
        trusted = AddressPolicy(settings.PRIVATE_ENDPOINTS).trusts(base_url)
    except BackendError as error:
        raise ValidationError(
            f"This URL cannot be used: {error.detail}.", code="bad_url"
        ) from error
    host = urlsplit(base_url).hostname or ""
    if not trusted and _is_address(host) and not is_public(host):
        raise ValidationError(
            f"{host} is a private address. To allow it, add its host:port to PRIVATE_ENDPOINTS "
            "and restart.",
            code="private_address",
        )
    return base_url


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@transaction.atomic
def save_endpoint(endpoint: Endpoint, *, new_api_key: str = "", erase_key: bool = False) -> bool:
    """Save an endpoint. True when a stored key was erased because it belongs to another origin.

    A key was given for one scheme, host and port. Pointing the endpoint elsewhere must not send
    it there (CVE-2026-41487), so it goes unless a new one comes with the change.
    """
    before = Endpoint.objects.select_for_update().get(pk=endpoint.pk) if endpoint.pk else None
    erased = endpoint.change_key(before, new=new_api_key, erase=erase_key)
    endpoint.save()
    moved = before and (before.kind, before.base_url) != (endpoint.kind, endpoint.base_url)
    if moved or new_api_key:
        # What failed was the old address, or the old key.
        breakers.close(endpoint=endpoint)
    return erased


@transaction.atomic
def save_moderation(
    house: ModerationSettings, *, new_api_key: str = "", erase_key: bool = False
) -> bool:
    """Save who checks texts. True when a stored key was erased, as with an endpoint."""
    before = ModerationSettings.objects.select_for_update().filter(pk=house.pk).first()
    erased = house.change_key(before, new=new_api_key, erase=erase_key)
    house.save()
    return erased


def check_upstream_model(name: str) -> str:
    """The name by which an endpoint knows a model, fit to be stored. Raises ValidationError."""
    name = name.strip()
    if not name:
        raise ValidationError("Name a model of the endpoint.", code="required")
    if len(name) > UPSTREAM_LENGTH:
        raise ValidationError(
            f"A model's name has at most {UPSTREAM_LENGTH} characters.", code="max_length"
        )
    if not name.isprintable():
        raise ValidationError("A model's name has no control characters.", code="control")
    return name


@transaction.atomic
def register_model(*, endpoint: Endpoint, upstream_model: str) -> tuple[Contestant, bool]:
    """A model of an endpoint as a contestant, and whether it is a new one. Raises ValidationError.

    A new one is a draft under the model's own short name: its card is still empty, so nobody is
    asked to judge it yet. Registering the same model twice gives the first contestant again.
    """
    upstream_model = check_upstream_model(upstream_model)
    # Two clicks at the same moment must find each other's row.
    Endpoint.objects.select_for_update().get(pk=endpoint.pk)
    known = endpoint.contestants.filter(upstream_model=upstream_model).first()
    if known:
        return known, False
    contestant = Contestant.objects.create(
        name=_free_name(upstream_model), endpoint=endpoint, upstream_model=upstream_model
    )
    return contestant, True


def _free_name(upstream_model: str) -> str:
    """ "org/Some-Model" to "Some-Model", numbered when another contestant is called so."""
    base = (upstream_model.rstrip("/").rpartition("/")[2] or upstream_model)[: NAME_LENGTH - 6]
    number = 1
    while Contestant.objects.filter(
        name=(name := base if number == 1 else f"{base} {number}")
    ).exists():
        number += 1
    return name


@transaction.atomic
def register_local_model(
    *, base_url: str, api_key: str, upstream_model: str, card: Mapping[str, Any]
) -> Contestant:
    """A model served by this machine. Its port and key are new at each start, its votes are not.

    `card` holds the fields of the contestant; `card["name"]` says which one it is.
    """
    name = card["name"]
    endpoint = Endpoint.objects.filter(name=f"local: {name}").first() or Endpoint(
        name=f"local: {name}", kind="openai", local=True,
        # A small machine answers slowly, and a busy one sends nothing until a slot is free.
        first_token_timeout=120, gap_timeout=60, total_timeout=300,
        # A benchmark run leaves the other slot to battles.
        evaluation_concurrency=1,
    )  # fmt: skip
    endpoint.base_url = base_url
    endpoint.enabled = True
    save_endpoint(endpoint, new_api_key=api_key)
    contestant, _ = Contestant.objects.get_or_create(
        name=name,
        defaults={
            **card,
            "endpoint": endpoint,
            "upstream_model": upstream_model,
            "status": Contestant.Status.ACTIVE,
        },
    )
    if contestant.endpoint_id != endpoint.pk or contestant.upstream_model != upstream_model:
        contestant.endpoint = endpoint
        contestant.upstream_model = upstream_model
        contestant.save(update_fields=["endpoint", "upstream_model"])
    return contestant


def disable_local_models() -> None:
    """Nothing answers on last time's ports: local endpoints come back when they are ready."""
    Endpoint.objects.filter(local=True).update(enabled=False)
