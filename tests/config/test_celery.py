from config.celery import app


def test_everything_beat_sends_is_a_task_some_worker_knows(settings):
    app.loader.import_default_modules()
    sent = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert sent <= set(app.tasks)
    assert set(settings.CELERY_TASK_ROUTES) <= set(app.tasks)


def test_every_message_expires_because_another_follows(settings):
    assert all(entry["options"]["expires"] for entry in settings.CELERY_BEAT_SCHEDULE.values())


def test_what_is_sent_every_few_seconds_waits_behind_no_long_task(settings):
    # A benchmark's shard lasts a minute: behind it, a message that expires sooner is never read.
    often = [
        entry["task"]
        for entry in settings.CELERY_BEAT_SCHEDULE.values()
        if isinstance(entry["schedule"], float) and entry["options"]["expires"] < 60
    ]
    queues = {settings.CELERY_TASK_ROUTES.get(task, {}).get("queue", "votes") for task in often}
    assert "evaluation.tasks.sweep" in often
    assert queues.isdisjoint({"evaluation", "sandbox"})
