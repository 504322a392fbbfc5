"""All settings, read once from the environment, typed; a wrong one stops the start by name.

Three profiles: `demo` (the embedded default of `make run`), `private` (an organisation's own
arena) and `public`. `DATABASE_URL` and `REDIS_URL` alone switch to PostgreSQL and Redis.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF
from environs import Env, validate

from config import checked, keyfile, schedule

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env()
env.read_env(str(BASE_DIR / ".env"), recurse=False)

_positive = validate.Range(min=1)
_above_zero = validate.Range(min=0, min_inclusive=False)

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
    ENCRYPTION_KEYS = env.list("ENCRYPTION_KEYS", [], validate=checked.fernet_keys) or [
        keyfile.read_or_create(DATA_DIR / "encryption_key", keyfile.fernet_key)
    ]
else:
    SECRET_KEY = env.str("SECRET_KEY", validate=checked.long_secret)
    ENCRYPTION_KEYS = env.list(
        "ENCRYPTION_KEYS", validate=[validate.Length(min=1), checked.fernet_keys]
    )

# Former secrets: what they signed (voters' cookies) stays valid while they are listed.
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", [])

DEBUG = env.bool("DEBUG", False, validate=checked.only_demo(DEMO))

# --- hosts -------------------------------------------------------------------------------------
HOST = env.str("HOST", "127.0.0.1")
PORT = env.int("PORT", 8000, validate=validate.Range(min=1, max=65535))
if DEMO:
    ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
else:
    ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", validate=[validate.Length(min=1), checked.host_names])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [], validate=checked.origins)

# Private addresses an endpoint may have, as host:port or host:*. A served arena lists its own
# model servers; the demo talks to whatever runs on this machine.
PRIVATE_ENDPOINTS = env.list(
    "PRIVATE_ENDPOINTS",
    ["127.0.0.1:*", "localhost:*", "[::1]:*"] if DEMO else [],
    validate=checked.host_ports,
)

HTTPS = env.bool("HTTPS", not DEMO)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = VOTER_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
# Health checks come from inside, without TLS.
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
# Only behind a proxy that sets this header itself, as the one in docker-compose.yml does.
BEHIND_PROXY = env.bool("BEHIND_PROXY", not DEMO)
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# Proxies in a row that each add to X-Forwarded-For. The visitor's address is so many entries from
# its end: what stands before that the visitor may have written.
PROXY_COUNT = env.int("PROXY_COUNT", 1, validate=_positive)
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
    "evaluation",
    "leaderboard",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "csp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "leaderboard.api.edge.public_api",
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
_database: dict[str, Any] = dict(
    dj_database_url.parse(
        env.str("DATABASE_URL", "", validate=checked.database_url)
        or f"sqlite:///{DATA_DIR / 'arena.sqlite3'}"
    )
)
DATABASES = {"default": _database}
_database["CONN_MAX_AGE"] = 0  # connections outlive requests in psycopg's pool, not in threads
if _database["ENGINE"] == "django.db.backends.sqlite3":
    _database["OPTIONS"] = {
        # Taking the write lock at BEGIN: a read turned into a write fails at once otherwise.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # FULL: a vote acknowledged is a vote on disk.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
else:
    # Asked before each use, so that a restart of PostgreSQL costs no request its connection.
    _database["CONN_HEALTH_CHECKS"] = True
    _pool_max = env.int("DATABASE_POOL_MAX", 20, validate=_positive)  # per process
    _database.setdefault("OPTIONS", {})["pool"] = {
        "min_size": env.int("DATABASE_POOL_MIN", 1, validate=validate.Range(0, _pool_max)),
        "max_size": _pool_max,
        "timeout": 10,  # seconds a request waits for a free connection
    }

# --- workers -----------------------------------------------------------------------------------
REDIS_URL = env.str("REDIS_URL", "", validate=checked.redis_url)
EMBEDDED_WORKER = not REDIS_URL  # the worker and beat are threads of the web process
CELERY_BROKER_URL = REDIS_URL or "memory://localhost/"  # without a host, kombu warns
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # however long Redis is away, come back by yourself
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
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False  # nobody sends any; one connection less to stall
CELERY_TASK_DEFAULT_QUEUE = schedule.DEFAULT_QUEUE
CELERY_TASK_ROUTES = schedule.ROUTES
# Seconds between two looks at whether the ratings have changed.
SNAPSHOT_INTERVAL = env.float("SNAPSHOT_INTERVAL", 3.0 if DEMO else 300.0, validate=_above_zero)
CELERY_BEAT_SCHEDULE = schedule.beat(snapshot_interval=SNAPSHOT_INTERVAL, demo=DEMO)
# In memory: no entry needs to be remembered across a start, and beat needs no disk.
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"
# Work waiting this long means that no worker is alive, whatever their processes say. A worker
# needs some seconds to start: less would kill it before it has counted anything.
WORKER_STALL_SECONDS = env.int("WORKER_STALL_SECONDS", 30, validate=validate.Range(min=10))

# --- leaderboard -------------------------------------------------------------------------------
# Rounds of the bootstrap: Overall, the other categories, and online Elo, which walks all votes.
BOOTSTRAP_ROUNDS_OVERALL = env.int("BOOTSTRAP_ROUNDS_OVERALL", 1_000, validate=_positive)
BOOTSTRAP_ROUNDS = env.int("BOOTSTRAP_ROUNDS", 300, validate=_positive)
ELO_BOOTSTRAP_ROUNDS = env.int("ELO_BOOTSTRAP_ROUNDS", 100, validate=_positive)
# A category has a board from this many battles and models; Overall always has one.
MIN_CATEGORY_BATTLES = env.int("MIN_CATEGORY_BATTLES", 100, validate=validate.Range(min=0))
MIN_CATEGORY_MODELS = env.int("MIN_CATEGORY_MODELS", 10, validate=validate.Range(min=0))
# A model with fewer votes is called provisional.
MIN_RATED_VOTES = env.int("MIN_RATED_VOTES", 0 if DEMO else 100, validate=validate.Range(min=0))
# Seconds that a process may answer from what it knows before it asks the database for a newer
# snapshot; and bytes of finished answers it keeps.
BOARD_RECHECK_SECONDS = env.float("BOARD_RECHECK_SECONDS", 1.0, validate=validate.Range(min=0))
BOARD_CACHE_BYTES = env.int("BOARD_CACHE_BYTES", 32_000_000, validate=validate.Range(min=0))

# --- importing votes ---------------------------------------------------------------------------
# Files in this folder are offered for import on the staff's page. Uploads need no folder.
IMPORTS_DIR: Path = env.path("IMPORTS_DIR", DATA_DIR / "imports").resolve()
# Of a file imported through the page. Larger ones: `manage.py import_votes` on the server.
MAX_IMPORT_MB = env.int("MAX_IMPORT_MB", 50, validate=_positive)
# A worker that imports publishes no snapshot meanwhile: this many take it about a minute.
MAX_IMPORT_VOTES = env.int("MAX_IMPORT_VOTES", 200_000, validate=_positive)

# --- battles -----------------------------------------------------------------------------------
MAX_PROMPT_CHARS = env.int("MAX_PROMPT_CHARS", 8_000, validate=_positive)
MAX_TURNS = env.int("MAX_TURNS", 10, validate=_positive)
# What people agree to when they ask. The text may be replaced by a Markdown file; whoever changes
# it gives it another version, which is stored with each person and each battle from then on.
TERMS_VERSION = env.str("TERMS_VERSION", "1", validate=validate.Length(min=1, max=20))
TERMS_FILE: Path = env.path(
    "TERMS_FILE", BASE_DIR / "arena" / "terms.md", validate=checked.text_file
).resolve()
# The demo's models share a few cores, and the weakest never stop by themselves.
MAX_ANSWER_TOKENS = env.int("MAX_ANSWER_TOKENS", 400 if DEMO else 1_024, validate=_positive)
# Seconds between two frames of one slot.
FRAME_INTERVAL = env.float("FRAME_INTERVAL", 0.04, validate=_above_zero)
# Seconds of text lost at worst by kill -9.
CHECKPOINT_INTERVAL = env.float("CHECKPOINT_INTERVAL", 0.5, validate=_above_zero)
# A vote long after the answers were read is no judgement of them.
BATTLE_DAYS = env.int("BATTLE_DAYS", 7, validate=_positive)
# A turn without a heartbeat this long has no owner.
ORPHAN_SECONDS = env.int("ORPHAN_SECONDS", 8, validate=_positive)
# A deserted answer is cancelled after this long.
READER_GRACE_SECONDS = env.int("READER_GRACE_SECONDS", 30, validate=_positive)
# A process told to stop lets answers in progress end for so long; their readers move on to another
# process. Less than --timeout-graceful-shutdown and stop_grace_period leave. The demo has no other.
DRAIN_SECONDS = env.float("DRAIN_SECONDS", 0.0 if DEMO else 20.0, validate=validate.Range(min=0))
# Attempts at endpoints are remembered for health and reliability figures this long.
REQUEST_LOG_DAYS = env.int("REQUEST_LOG_DAYS", 30, validate=_positive)
# Seconds that a process may go by what it knows of the arena's settings before it asks again.
SETTINGS_RECHECK_SECONDS = env.float(
    "SETTINGS_RECHECK_SECONDS", 2.0, validate=validate.Range(min=0)
)

# How the text of both sides reaches the browser until an administrator chooses otherwise: raw,
# paced or together. Only strangers have a reason to guess the models from their rhythm.
DEFAULT_PACING = env.str(
    "DEFAULT_PACING",
    "paced" if PROFILE == "public" else "raw",
    validate=validate.OneOf(["raw", "paced", "together"]),
)
# Paced: characters a second of each side, thrice what people read and less than most models write.
# A model that writes more slowly makes both sides wait.
PACED_CHARACTERS_PER_SECOND = env.float("PACED_CHARACTERS_PER_SECOND", 100.0, validate=_above_zero)
# Seconds before the first words, and those by which both sides wait; most models begin sooner.
PACED_HOLD_SECONDS = env.float("PACED_HOLD_SECONDS", 2.0, validate=_above_zero)
# Seconds after which the side that has something to show no longer waits for the other.
PACED_PATIENCE_SECONDS = env.float("PACED_PATIENCE_SECONDS", 10.0, validate=_above_zero)

# --- limits and money --------------------------------------------------------------------------
# Requests to models, and USD, from midnight to midnight UTC; 0 is no limit. A battle's turn is two
# requests. The demo's models are its own machine, and an organisation knows its people; anybody's
# arena pays for strangers, many of whom may sit behind one address.
_not_negative = validate.Range(min=0)
_open = PROFILE == "public"
DAILY_REQUESTS_ARENA = env.int("DAILY_REQUESTS_ARENA", 0, validate=_not_negative)
DAILY_USD_ARENA = env.float(
    "DAILY_USD_ARENA", 0.0 if DEMO else 50.0 if _open else 100.0, validate=_not_negative
)
DAILY_REQUESTS_VOTER = env.int(
    "DAILY_REQUESTS_VOTER", 0 if DEMO else 300 if _open else 2_000, validate=_not_negative
)
DAILY_USD_VOTER = env.float(
    "DAILY_USD_VOTER", 0.0 if DEMO else 2.0 if _open else 20.0, validate=_not_negative
)
DAILY_REQUESTS_NETWORK = env.int(
    "DAILY_REQUESTS_NETWORK", 1_500 if _open else 0, validate=_not_negative
)
DAILY_USD_NETWORK = env.float("DAILY_USD_NETWORK", 10.0 if _open else 0.0, validate=_not_negative)
# Seconds between two votes of one person; 0 is no limit. Nobody reads two answers faster.
VOTE_INTERVAL_SECONDS = env.float(
    "VOTE_INTERVAL_SECONDS", 0.0 if DEMO else 5.0, validate=_not_negative
)
# Of one person's votes of a day (UTC) so many count, and of those on one prompt the first; 0 and
# off for a demo, where one person tries the same question again and again and wants to see it.
VOTES_COUNTED_PER_DAY = env.int("VOTES_COUNTED_PER_DAY", 0 if DEMO else 50, validate=_not_negative)
SAME_PROMPT_COUNTS_ONCE = env.bool("SAME_PROMPT_COUNTS_ONCE", not DEMO)

# --- benchmarks --------------------------------------------------------------------------------
# Requests at one endpoint at a time, over all workers. The demo's models share a few cores.
EVALUATION_CONCURRENCY = env.int("EVALUATION_CONCURRENCY", 1 if DEMO else 8, validate=_positive)
# A killed worker's samples are taken up again after this long.
EVALUATION_LEASE_SECONDS = env.int("EVALUATION_LEASE_SECONDS", 60, validate=validate.Range(min=5))
# So many samples failed in a row pause a run: the endpoint is at fault, not the items.
EVALUATION_BREAKER = env.int("EVALUATION_BREAKER", 5, validate=_positive)
# How long answers are kept for the runs that ask for them.
EVALUATION_CACHE_DAYS = env.int("EVALUATION_CACHE_DAYS", 30, validate=_positive)

# --- language, static files, logs --------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = None if DEMO else BASE_DIR / "staticfiles"
ATTACHMENTS_DIR: Path = env.path("ATTACHMENTS_DIR", DATA_DIR / "attachments").resolve()
ATTACHMENTS_STORAGE = env.str("ATTACHMENTS_STORAGE", "django.core.files.storage.FileSystemStorage")
ATTACHMENTS_OPTIONS: Any = env.json("ATTACHMENTS_OPTIONS", {}, validate=checked.json_object)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # Images of questions. All web processes and the worker of the queue `ratings` see the same: a
    # shared folder, or another of Django's storages (for S3, django-storages has one).
    "attachments": {
        "BACKEND": ATTACHMENTS_STORAGE,
        "OPTIONS": ATTACHMENTS_OPTIONS
        or {
            "location": str(ATTACHMENTS_DIR),
            "file_permissions_mode": 0o600,
            "directory_permissions_mode": 0o700,
        },
    },
    "staticfiles": {
        # The demo serves the sources as they are; a served arena runs collectstatic.
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEMO
        else "config.staticfiles.HashedStaticFiles"
    },
}
WHITENOISE_USE_FINDERS = DEMO

LOG_LEVEL = env.str(
    "LOG_LEVEL",
    "WARNING" if DEMO else "INFO",
    validate=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]),
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    # A wrong address, and a page that asks for patience, are answers and not accidents.
    "filters": {
        "accidents": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: getattr(record, "status_code", 500) in (500, 501, 502),
        }
    },
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        "django.request": {"filters": ["accidents"]},
        "httpx": {"level": "WARNING"},  # logs every URL it talks to
        "celery.beat": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
    },
}
env.seal()
