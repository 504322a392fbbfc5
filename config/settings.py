"""All settings, read once from the environment, typed; a wrong one stops the start by name.

Three profiles: `demo` (the embedded default of `make run`), `private` (an organisation's own
arena) and `public`. `DATABASE_URL` and `REDIS_URL` alone switch to PostgreSQL and Redis.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from environs import Env, validate

from config import keyfile

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env()
env.read_env(str(BASE_DIR / ".env"), recurse=False)

PROFILE = env.str("ARENA_PROFILE", "demo", validate=validate.OneOf(["demo", "private", "public"]))
DEMO = PROFILE == "demo"
DATA_DIR: Path = env.path("ARENA_DATA_DIR", BASE_DIR / "var").resolve()

# --- secrets -----------------------------------------------------------------------------------
# The demo makes its own; a served arena must be given them, so that two machines share them and
# a copied folder is not a copied secret.
if DEMO:
    SECRET_KEY = env.str("SECRET_KEY", "") or keyfile.read_or_create(
        DATA_DIR / "secret_key", keyfile.django_secret
    )
    ENCRYPTION_KEYS = env.list("ENCRYPTION_KEYS", []) or [
        keyfile.read_or_create(DATA_DIR / "encryption_key", keyfile.fernet_key)
    ]
else:
    SECRET_KEY = env.str("SECRET_KEY", validate=validate.Length(min=50))
    ENCRYPTION_KEYS = env.list("ENCRYPTION_KEYS", validate=validate.Length(min=1))

DEBUG = env.bool("DEBUG", False)
if DEBUG and not DEMO:
    raise ImproperlyConfigured("DEBUG shows settings to visitors: only ARENA_PROFILE=demo may.")

# --- hosts -------------------------------------------------------------------------------------
HOST = env.str("HOST", "127.0.0.1")
PORT = env.int("PORT", 8000, validate=validate.Range(min=1, max=65535))
if DEMO:
    ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
else:
    ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", validate=validate.Length(min=1))
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", [])

# Private addresses an endpoint may have, as host:port or host:*. A served arena lists its own
# model servers; the demo talks to whatever runs on this machine.
PRIVATE_ENDPOINTS = env.list(
    "PRIVATE_ENDPOINTS", ["127.0.0.1:*", "localhost:*", "[::1]:*"] if DEMO else []
)

HTTPS = env.bool("HTTPS", not DEMO)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = VOTER_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
# Health checks come from inside, without TLS.
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
# Only behind a proxy that sets this header itself, as the one in docker-compose.yml does.
if env.bool("BEHIND_PROXY", not DEMO):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_AGE = 8 * 3600  # only staff have sessions

CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# --- applications ------------------------------------------------------------------------------
INSTALLED_APPS = [
    "arena",
    "leaderboard",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "csp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator",
                 "CommonPasswordValidator", "NumericPasswordValidator")
]  # fmt: skip
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- database ----------------------------------------------------------------------------------
DATABASES: dict[str, dict[str, Any]] = {
    "default": env.dj_db_url("DATABASE_URL", f"sqlite:///{DATA_DIR / 'arena.sqlite3'}")
}
_database = DATABASES["default"]
_database["CONN_MAX_AGE"] = 0  # connections outlive requests in psycopg's pool, not in threads
if _database["ENGINE"] == "django.db.backends.sqlite3":
    _database["OPTIONS"] = {
        # Taking the write lock at BEGIN: a read turned into a write fails at once otherwise.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # FULL: a vote acknowledged is a vote on disk.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
elif _database["ENGINE"] == "django.db.backends.postgresql":
    _database.setdefault("OPTIONS", {})["pool"] = {
        "min_size": env.int("DATABASE_POOL_MIN", 2),
        "max_size": env.int("DATABASE_POOL_MAX", 20),
        "timeout": 10,
    }

# --- workers -----------------------------------------------------------------------------------
REDIS_URL = env.str("REDIS_URL", "")
EMBEDDED_WORKER = not REDIS_URL  # the worker and beat are threads of the web process
CELERY_BROKER_URL = REDIS_URL or "memory://"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = (
    # Without limits on the socket, a stalled Redis hangs a worker for ever (celery #2415).
    {"socket_timeout": 10, "socket_connect_timeout": 5, "socket_keepalive": True,
     "visibility_timeout": 3600}
    if REDIS_URL
    else {"polling_interval": 0.02}  # the memory transport's default adds 0.5 s to each task
)  # fmt: skip
CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = CELERY_RESULT_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_DEFAULT_QUEUE = "votes"
CELERY_TASK_ROUTES = {"leaderboard.tasks.publish_snapshots": {"queue": "ratings"}}
SNAPSHOT_INTERVAL = env.float("SNAPSHOT_INTERVAL", 3.0 if DEMO else 60.0)  # seconds
# Messages carry no data: a late one is worthless, a lost one is followed by another.
CELERY_BEAT_SCHEDULE = {
    "settle votes": {
        "task": "leaderboard.tasks.settle_votes",
        "schedule": 1.0,
        "options": {"expires": 5},
    },
    "publish snapshots": {
        "task": "leaderboard.tasks.publish_snapshots",
        "schedule": SNAPSHOT_INTERVAL,
        "options": {"expires": max(5.0, SNAPSHOT_INTERVAL)},
    },
    "end orphaned turns": {
        "task": "arena.tasks.end_orphaned_turns",
        "schedule": 3.0,
        "options": {"expires": 5},
    },
}
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "beat-schedule")
WORKER_STALL_SECONDS = env.int("WORKER_STALL_SECONDS", 30)

# --- battles -----------------------------------------------------------------------------------
MAX_PROMPT_CHARS = env.int("MAX_PROMPT_CHARS", 8_000)
MAX_TURNS = env.int("MAX_TURNS", 10)
MAX_ANSWER_TOKENS = env.int("MAX_ANSWER_TOKENS", 1_024)
FRAME_INTERVAL = env.float("FRAME_INTERVAL", 0.04)  # seconds between two frames of one slot
CHECKPOINT_INTERVAL = env.float("CHECKPOINT_INTERVAL", 0.5)  # text lost at worst by kill -9
ORPHAN_SECONDS = env.int("ORPHAN_SECONDS", 8)  # a turn without a heartbeat this long has no owner
READER_GRACE_SECONDS = env.int("READER_GRACE_SECONDS", 30)  # then a deserted answer is cancelled

# --- language, static files, logs --------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        # The demo serves the sources as they are; a served arena runs collectstatic.
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEMO
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = DEMO

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", "WARNING" if DEMO else "INFO")},
    "loggers": {
        "httpx": {"level": "WARNING"},  # logs every URL it talks to
        "celery.beat": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
    },
}
SILENCED_SYSTEM_CHECKS: list[str] = []
env.seal()
