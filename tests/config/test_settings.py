import os
import runpy
import secrets
from unittest import mock

import pytest
from environs import Env, EnvError

from tests.conftest import PROJECT
from tests.deployment import served_environment


def load(**variables):
    """The settings as a process with just these variables would read them."""
    with (
        mock.patch.dict(os.environ, variables, clear=True),
        mock.patch.object(Env, "read_env"),  # the developer's own .env
    ):
        return runpy.run_path(str(PROJECT / "config" / "settings.py"))


@pytest.fixture
def demo(tmp_path):
    return {"ARENA_DATA_DIR": str(tmp_path)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ARENA_PROFILE", "production"),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "a" * 60),
        ("ENCRYPTION_KEYS", ""),
        ("ENCRYPTION_KEYS", "not a Fernet key"),
        ("DEBUG", "true"),
        ("DEBUG", "perhaps"),
        ("ALLOWED_HOSTS", ""),
        ("ALLOWED_HOSTS", "*"),
        ("ALLOWED_HOSTS", "https://arena.example.org"),
        ("CSRF_TRUSTED_ORIGINS", "arena.example.org"),
        ("PRIVATE_ENDPOINTS", "vllm.internal"),
        ("HTTPS", "maybe"),
        ("BEHIND_PROXY", "maybe"),
        ("PORT", "http"),
        ("PORT", "70000"),
        ("DATABASE_URL", "mysql://arena@localhost/arena"),
        ("DATABASE_URL", "arena.sqlite3"),
        ("DATABASE_URL", "postgres://arena@localhost:port/arena"),
        ("DATABASE_POOL_MAX", "0"),
        ("DATABASE_POOL_MIN", "21"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "memory://"),
        ("SNAPSHOT_INTERVAL", "0"),
        ("SNAPSHOT_INTERVAL", "nan"),
        ("WORKER_STALL_SECONDS", "1"),
        ("ATTACHMENTS_OPTIONS", "location"),
        ("ATTACHMENTS_OPTIONS", "[1]"),
        ("DEFAULT_PACING", "slow"),
        ("PACED_CHARACTERS_PER_SECOND", "0"),
        ("PACED_HOLD_SECONDS", "-1"),
        ("MAX_PROMPT_CHARS", "0"),
        ("MAX_TURNS", "ten"),
        ("TERMS_VERSION", "a version with too many letters"),
        ("TERMS_FILE", "/nowhere/terms.md"),
        ("MAX_ANSWER_TOKENS", "-1"),
        ("FRAME_INTERVAL", "0"),
        ("CHECKPOINT_INTERVAL", "-0.5"),
        ("ORPHAN_SECONDS", "0"),
        ("READER_GRACE_SECONDS", "soon"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_value_stops_the_start_by_its_name(name, value):
    with pytest.raises(EnvError, match=f'"{name}"'):
        load(**served_environment(**{name: value}))


@pytest.mark.parametrize("name", ["SECRET_KEY", "ENCRYPTION_KEYS", "ALLOWED_HOSTS"])
def test_a_served_arena_must_be_given_its_secrets_and_names(name):
    environment = served_environment()
    del environment[name]
    with pytest.raises(EnvError, match=f'"{name}" not set'):
        load(**environment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "hush"),
        ("ENCRYPTION_KEYS", "hush"),
        ("DATABASE_URL", "mysql://arena:hush@localhost/arena"),
        ("DATABASE_URL", "postgres://arena:hush@localhost:port/arena"),
        ("REDIS_URL", "amqp://arena:hush@localhost/"),
    ],
)
def test_the_message_does_not_show_a_secret(name, value):
    with pytest.raises(EnvError) as stopped:
        load(**served_environment(**{name: value}))
    assert "hush" not in str(stopped.value)


def test_two_variables_alone_switch_to_postgresql_and_redis(demo):
    embedded = load(**demo)
    served = load(**demo, DATABASE_URL="postgres://arena@db/arena", REDIS_URL="redis://redis/0")
    differing = {
        name
        for name in embedded.keys() | served.keys()
        # The filter in LOGGING is a function, and no two are equal.
        if name.isupper() and name != "LOGGING" and embedded.get(name) != served.get(name)
    }
    assert differing == {
        "DATABASES",
        "REDIS_URL",
        "EMBEDDED_WORKER",
        "CELERY_BROKER_URL",
        "CELERY_BROKER_TRANSPORT_OPTIONS",
    }
    assert served["DATABASES"]["default"]["ENGINE"] == "django.db.backends.postgresql"
    assert not served["EMBEDDED_WORKER"]


def test_an_empty_url_means_the_embedded_default(demo):
    settings = load(**demo, DATABASE_URL="", REDIS_URL="")
    assert settings["DATABASES"]["default"]["ENGINE"] == "django.db.backends.sqlite3"
    assert settings["EMBEDDED_WORKER"]


def test_connections_outlive_requests_in_the_pool_and_not_in_threads(demo):
    database = load(**demo, DATABASE_URL="postgres://arena@db/arena")["DATABASES"]["default"]
    assert database["CONN_MAX_AGE"] == 0
    assert database["CONN_HEALTH_CHECKS"] is True
    assert database["OPTIONS"]["pool"]["max_size"] == 20


def test_options_in_the_database_url_are_kept_beside_the_pool(demo):
    url = "postgres://arena@db/arena?sslmode=require"
    options = load(**demo, DATABASE_URL=url)["DATABASES"]["default"]["OPTIONS"]
    assert options["sslmode"] == "require"
    assert "pool" in options


def test_the_demo_makes_its_secrets_once_and_keeps_them_to_its_owner(demo, tmp_path):
    first, second = load(**demo), load(**demo)
    assert first["SECRET_KEY"] == second["SECRET_KEY"]
    assert first["ENCRYPTION_KEYS"] == second["ENCRYPTION_KEYS"]
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("secret_key", "encryption_key")] \
        == [0o600, 0o600]  # fmt: skip


def test_a_secret_of_ones_own_goes_before_the_made_one(demo, tmp_path):
    secret = secrets.token_urlsafe(50)
    assert load(**demo, SECRET_KEY=secret)["SECRET_KEY"] == secret
    assert not (tmp_path / "secret_key").exists()


def test_a_served_arena_reads_its_secrets_from_the_environment_alone(tmp_path):
    load(**served_environment(ARENA_DATA_DIR=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_messages_are_json_and_nothing_else(demo):
    settings = load(**demo)
    assert settings["CELERY_ACCEPT_CONTENT"] == ["json"]
    assert settings["CELERY_RESULT_ACCEPT_CONTENT"] == ["json"]


def test_a_served_arena_speaks_https_only_unless_told_otherwise():
    settings = load(**served_environment())
    assert settings["SECURE_SSL_REDIRECT"]
    assert settings["SESSION_COOKIE_SECURE"]
    assert settings["VOTER_COOKIE_SECURE"]
    plain = load(**served_environment(HTTPS="false"))
    assert not plain["SECURE_SSL_REDIRECT"]
    assert not plain["SESSION_COOKIE_SECURE"]


@pytest.mark.parametrize(
    ("profile", "pacing"), [("demo", "raw"), ("private", "raw"), ("public", "paced")]
)
def test_only_strangers_are_shown_both_answers_on_one_clock(profile, pacing, tmp_path):
    variables = {**served_environment(), "ARENA_PROFILE": profile, "ARENA_DATA_DIR": str(tmp_path)}
    assert load(**variables)["DEFAULT_PACING"] == pacing
    assert load(**variables, DEFAULT_PACING="together")["DEFAULT_PACING"] == "together"


def test_images_are_kept_in_a_folder_unless_another_storage_is_named(demo, tmp_path):
    kept = load(**demo)["STORAGES"]["attachments"]
    assert kept["BACKEND"] == "django.core.files.storage.FileSystemStorage"
    assert kept["OPTIONS"]["location"] == str(tmp_path / "attachments")
    kept = load(
        **demo,
        ATTACHMENTS_STORAGE="storages.backends.s3.S3Storage",
        ATTACHMENTS_OPTIONS='{"bucket_name": "images"}',
    )["STORAGES"]["attachments"]
    assert kept["BACKEND"] == "storages.backends.s3.S3Storage"
    assert kept["OPTIONS"] == {"bucket_name": "images"}
