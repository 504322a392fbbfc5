"""`make test`: the whole default suite on SQLite, then what touches the database on PostgreSQL.

Says plainly what it skips. Arguments go to pytest, as in `make test T="-k vote -x"`.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests import services

NOT_BY_DEFAULT = "not e2e and not faults and not interop and not benchmark"
NO_TEST_COLLECTED = 5  # a narrow -k may leave one half empty


def pytest(*arguments: str, **environment: str) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", *arguments, *sys.argv[1:]]
    return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode


def main() -> int:
    database = services.postgres_url()
    # Before the tests: the last line of the output is pytest's own.
    if not database:
        print(
            "── SKIPPED: the PostgreSQL half. Start PostgreSQL on 127.0.0.1:5432 or set "
            "TEST_DATABASE_URL to run it."
        )
    if not services.redis_url():
        print(
            "── SKIPPED: the tests that need Redis. Start Redis on 127.0.0.1:6379 or set "
            "TEST_REDIS_URL to run them."
        )
    print("── SQLite, the embedded default", flush=True)
    results = [pytest()]
    if database:
        print("── PostgreSQL: the tests that touch the database", flush=True)
        results.append(
            pytest("-m", f"database and {NOT_BY_DEFAULT}", ARENA_SUITE_DATABASE_URL=database)
        )
    if set(results) == {NO_TEST_COLLECTED}:
        return NO_TEST_COLLECTED
    return next((code for code in results if code not in (0, NO_TEST_COLLECTED)), 0)


if __name__ == "__main__":
    sys.exit(main())
