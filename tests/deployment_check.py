"""`check --deploy` must have nothing to say of a served arena. Called by `make lint`."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.deployment import served_environment


def main() -> int:
    for profile in ("private", "public"):
        environment = served_environment(ARENA_PROFILE=profile)
        check = subprocess.run(
            [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
            env={"PATH": os.environ["PATH"], **environment},
            check=False,
        )
        if check.returncode:
            print(f"the profile {profile} is not fit for deployment")
            return check.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
