# One image for the web processes, the workers, beat and migrations.
FROM python:3.11-slim-bookworm AS build
COPY requirements.txt .
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check \
      --require-hashes --only-binary :all: --requirement requirements.txt \
 && /venv/bin/python -m compileall -q /venv

FROM python:3.11-slim-bookworm
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
# bubblewrap runs the programs that models write, in worker-sandbox alone.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends bubblewrap \
 && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin arena
COPY --from=build /venv /venv
WORKDIR /app
COPY manage.py ./
COPY config config
COPY arena arena
COPY evaluation evaluation
COPY leaderboard leaderboard
COPY deploy deploy
# Static files need settings but no secret: these are thrown away with the command.
RUN ARENA_PROFILE=private ALLOWED_HOSTS=localhost \
    SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(50))')" \
    ENCRYPTION_KEYS="$(python -c 'from cryptography.fernet import Fernet as F; print(F.generate_key().decode())')" \
    python manage.py collectstatic --no-input \
 && python -m compileall -q /app
# Images of questions: a volume, which starts with the owner that the folder has here.
RUN install --directory --owner=10001 --mode=700 /attachments
ENV PYTHONDONTWRITEBYTECODE=1 ATTACHMENTS_DIR=/attachments
# Everything belongs to root and the process does not: it can change nothing of itself.
USER 10001
EXPOSE 8000
CMD ["uvicorn", "config.asgi:application", "--host", "0.0.0.0", "--port", "8000", \
     "--ws-per-message-deflate", "false", "--ws-max-size", "65536", \
     "--log-level", "warning", "--no-access-log", "--no-server-header"]
