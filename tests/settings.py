"""The settings of the suite: the demo's, in a data folder that is thrown away."""

import atexit
import os
import shutil
import tempfile

_folder = tempfile.mkdtemp(prefix="arena-tests-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ.update(
    ARENA_PROFILE="demo",
    ARENA_DATA_DIR=_folder,
    SECRET_KEY="of the suite; the same in each of its processes",
    DATABASE_URL=os.environ.get("ARENA_SUITE_DATABASE_URL", ""),
    REDIS_URL="",
)
if not os.environ["DATABASE_URL"]:
    del os.environ["DATABASE_URL"]

from config.settings import *  # noqa: E402, F403
from config.settings import DATABASES  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# A file, not memory: consumers and workers reach the database from other threads.
DATABASES["default"]["TEST"] = (
    {"NAME": f"{_folder}/test.sqlite3"}
    if DATABASES["default"]["ENGINE"].endswith("sqlite3")
    # Of this process alone: two runs at the same time must not drop each other's.
    else {"NAME": f"arena_test_{os.getpid()}"}
)
# What a test has just published is asked for at once.
BOARD_RECHECK_SECONDS = 0
SETTINGS_RECHECK_SECONDS = 0
