"""No container engine runs where the suite does, so the files are held against the code."""

import re
import subprocess
import sys

import pytest
import yaml
from django.core.management import get_commands

from arena.consumers import MAX_FRAME
from tests.conftest import PROJECT

COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "arena"}


def example():
    lines = (PROJECT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def managed(service):
    """The management commands a service calls."""
    words = service.get("command", []) + service.get("healthcheck", {}).get("test", [])
    return [words[i + 1] for i, word in enumerate(words) if word == "manage.py"]


def test_every_management_command_exists():
    called = {command for service in OURS.values() for command in managed(service)}
    assert {"migrate", "run_worker", "check_worker"} <= called <= set(get_commands())


def test_every_queue_that_tasks_are_sent_to_has_a_worker(settings):
    served = {s["command"][-1] for s in OURS.values() if "run_worker" in s["command"]}
    queues = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    assert served == {*queues, settings.CELERY_TASK_DEFAULT_QUEUE, "beat"}


def test_the_web_process_takes_frames_as_long_as_the_consumer_does():
    command = SERVICES["web"]["command"]
    assert command[command.index("--ws-max-size") + 1] == str(MAX_FRAME)
    assert command[command.index("--ws-per-message-deflate") + 1] == "false"


@pytest.mark.parametrize("name", sorted(set(OURS) - {"migrate"}))
def test_nothing_of_ours_starts_before_the_migration(name):
    condition = OURS[name]["depends_on"]["migrate"]["condition"]
    assert condition == "service_completed_successfully"


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_container_of_ours_can_change_nothing_of_itself(name):
    assert OURS[name]["read_only"]
    assert OURS[name]["cap_drop"] == ["ALL"]


def test_only_the_proxy_can_be_reached_from_outside():
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert COMPOSE["networks"]["data"]["internal"]
    for name in ("postgres", "redis"):
        assert SERVICES[name]["networks"] == ["data"]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migrate"}))
def test_whatever_dies_is_started_again(name):
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_redis_keeps_its_log_and_asks_for_a_password():
    command = SERVICES["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert "--requirepass" in command


def test_what_compose_asks_for_is_in_the_example():
    asked = set(re.findall(r"\$\{(\w+):\?", (PROJECT / "docker-compose.yml").read_text()))
    assert asked <= set(example())


def test_the_example_holds_no_secret():
    secrets = ("SECRET_KEY", "ENCRYPTION_KEYS", "POSTGRES_PASSWORD", "REDIS_PASSWORD")
    assert [example()[name] for name in secrets] == [""] * 4


def test_every_variable_of_the_settings_is_in_the_operations_page():
    read = set(
        re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (PROJECT / "config/settings.py").read_text())
    )
    documented = set(re.findall(r"`([A-Z_]+)`", (PROJECT / "docs/operations.md").read_text()))
    assert len(read) > 20
    assert read - documented == set()


def test_the_image_copies_every_package_of_the_settings(settings):
    copied = set(re.findall(r"^COPY (\w+) \w+$", (PROJECT / "Dockerfile").read_text(), re.M))
    packages = {path.parent.name for path in PROJECT.glob("*/__init__.py")} - {"tests"}
    assert packages | {"deploy"} == copied
    kept = set(re.findall(r"^!(\S+)$", (PROJECT / ".dockerignore").read_text(), re.M))
    assert copied < kept


def test_the_health_check_of_a_web_container_fails_when_nobody_answers():
    check = subprocess.run(
        [sys.executable, "deploy/web_is_healthy.py"],
        cwd=PROJECT,
        env={"ALLOWED_HOSTS": "arena.example.org", "PORT": "9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 1
    assert "does not answer" in check.stderr
