"""Which workers can run code, by what they reported; code tasks wait for one that can.

The sandbox is tried where it will be used: at the start of a worker of the sandbox queue, before
each batch of programs, and when it is asked to try again. Everybody else reads the reports.
"""

from __future__ import annotations

import os
import pwd
import socket
from datetime import timedelta

from django.utils import timezone

from evaluation import sandbox
from evaluation.models import SandboxReport

FRESH = timedelta(minutes=5)  # a report that is older is of a worker that is away
AGAIN = timedelta(minutes=1)  # an older report is worth another try
# Who has not been heard of for so long is not asked: messages to nobody would pile up. A worker
# that comes back reports by itself.
GONE = timedelta(hours=1)
FORGOTTEN = timedelta(days=7)

AS_ROOT = (
    "This worker runs as root, whom the limit on processes does not bind: programs run as the user "
    "nobody instead. Run the worker as another user."
)


def report() -> SandboxReport:
    """Tries the sandbox in this process, and writes down what came of it."""
    found = sandbox.self_test()
    remark = str(found) if not found.ok else AS_ROOT if os.geteuid() == 0 else ""
    SandboxReport.objects.filter(checked_at__lt=timezone.now() - FORGOTTEN).delete()
    row, _ = SandboxReport.objects.update_or_create(
        worker=f"{_user()}@{socket.gethostname()}"[:150],
        defaults={"ok": found.ok, "remark": remark, "checked_at": timezone.now()},
    )
    return row


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container may run as a number that has no name
        return str(os.geteuid())


def is_due() -> bool:
    """Whether a worker should be asked to try again."""
    now = timezone.now()
    return SandboxReport.objects.filter(
        checked_at__lt=now - AGAIN, checked_at__gt=now - GONE
    ).exists()


def obstacle() -> str:
    """Why no code can be run at present; empty when it can."""
    reports = list(SandboxReport.objects.order_by("-checked_at"))
    fresh = [one for one in reports if one.checked_at > timezone.now() - FRESH]
    if any(one.ok for one in fresh):
        return ""
    if fresh:
        return f"{fresh[0].remark} ({fresh[0].worker})"
    if reports:
        return (
            f"no sandbox worker has been heard of since {reports[0].checked_at:%Y-%m-%d %H:%M} UTC"
        )
    return "no sandbox worker has been started"
