"""A served arena's environment, as docker-compose.yml and .env.example give it."""

from __future__ import annotations

import secrets

from cryptography.fernet import Fernet


def served_environment(**variables: str) -> dict[str, str]:
    """Fresh secrets, PostgreSQL and Redis by name; `variables` add to it or replace parts."""
    return {
        "ARENA_PROFILE": "public",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "ALLOWED_HOSTS": "arena.example.org",
        "DATABASE_URL": "postgres://arena:a-password@postgres:5432/arena",
        "REDIS_URL": "redis://:a-password@redis:6379/0",
        **variables,
    }
