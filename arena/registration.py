"""Registering endpoints and contestants: the rules that hold whoever registers them."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from arena.backends.base import BackendError
from arena.backends.guard import AddressPolicy, is_public
from arena.models import Contestant, Endpoint


def check_base_url(base_url: str) -> str:
    """A URL the arena may be pointed at. The address it leads to is checked again on connecting."""
    base_url = base_url.strip()
    try:
        trusted = AddressPolicy(settings.PRIVATE_ENDPOINTS).trusts(base_url)
    except BackendError as error:
        raise ValidationError(f"This URL cannot be used: {error.detail}.", code="bad_url") from error
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
    erased = False
    if endpoint.pk:
        before = Endpoint.objects.select_for_update().get(pk=endpoint.pk)
        erased = before.origin != endpoint.origin and bool(before.api_key_sealed)
    if new_api_key:
        endpoint.set_api_key(new_api_key)
    elif erased or erase_key:
        endpoint.set_api_key("")
    endpoint.save()
    return erased and not new_api_key


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
