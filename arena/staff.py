"""Who may open a page of the staff."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import permission_required
from django.http import HttpResponseBase

View = Callable[..., HttpResponseBase]


def staff(permission: str) -> Callable[[View], View]:
    """Only for staff who have the permission: others log in, or are told that they may not."""

    def decorate(view: View) -> View:
        permitted = permission_required(permission, raise_exception=True)(view)
        return staff_member_required(permitted, login_url="admin:login")

    return decorate
