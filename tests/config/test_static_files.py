import json
import os
import re
import subprocess
import sys

import pytest

from tests.conftest import PROJECT
from tests.deployment import served_environment

COLLECT = """
import django
from django.conf import settings
from django.core.management import call_command
django.setup()
settings.STATIC_ROOT = {folder!r}
call_command("collectstatic", interactive=False, verbosity=0)
"""


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """The static files as the Dockerfile collects them."""
    folder = tmp_path_factory.mktemp("static")
    subprocess.run(
        [sys.executable, "-c", COLLECT.format(folder=str(folder))],
        cwd=PROJECT,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "config.settings",
            **served_environment(),
        },
        check=True,
    )
    return folder


def hashed_names(folder):
    return json.loads((folder / "staticfiles.json").read_text())["paths"]


def test_every_import_of_our_modules_is_the_hashed_name_of_a_file(collected):
    imports = []
    for name, hashed in hashed_names(collected).items():
        if name.startswith("arena/js/"):
            script = collected / hashed
            for target in re.findall(r"""from\s*["'](\./[^"']+)["']""", script.read_text()):
                imports.append(target)
                assert (script.parent / target).is_file()
                assert re.search(r"\.[0-9a-f]{12}\.js$", target)
    assert imports


def test_what_pages_load_is_there_compressed_beforehand(collected):
    for name in ("arena/site.css", "arena/js/battle.js", "leaderboard/board.css"):
        assert (collected / (hashed_names(collected)[name] + ".gz")).is_file()
