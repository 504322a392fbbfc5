from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, transaction
from django.test import AsyncClient, Client
from django.utils import timezone

from arena.models import Vote
from leaderboard import tasks
from leaderboard.models import ImportPiece, ImportRun
from leaderboard.tally import settling
from leaderboard.transfer import import_runs
from tests import factories

pytestmark = pytest.mark.django_db

IMPORT, EXPORT = "/leaderboard/staff/import/", "/leaderboard/staff/export/"
PLAIN = b"model_a,model_b,winner\nalpha,beta,model_a\nbeta,gamma,tie\n"


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.IMPORTS_DIR = tmp_path
    return tmp_path


@pytest.fixture
def staff(client):
    user = User.objects.create_user("sam", password="x", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=["add_importrun", "view_vote"])
    )
    client.force_login(user)
    return client


def upload(content: bytes = PLAIN, name: str = "My votes.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, content_type="text/csv")


@pytest.mark.parametrize("address", [IMPORT, EXPORT])
def test_the_pages_are_for_staff_with_the_permission(client, address):
    for page in (client.get(address), client.post(address)):
        assert page.status_code == 302
        assert page["Location"].startswith("/admin/login/")
    client.force_login(User.objects.create_user("visitor", password="x"))
    assert client.get(address).status_code == 302
    client.force_login(User.objects.create_user("newcomer", password="x", is_staff=True))
    assert client.get(address).status_code == 403
    assert client.post(address, {"upload": upload()}).status_code == 403
    assert not ImportRun.objects.exists()


@pytest.mark.parametrize("address", [IMPORT, EXPORT])
def test_a_form_of_another_site_is_refused(staff, address):
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = staff.cookies
    assert strict.post(address, {"format": "plain", "download": ""}).status_code == 403


def test_an_upload_waits_for_the_worker_and_is_imported(staff):
    page = staff.post(IMPORT, {"upload": upload(), "licence": "CC-BY-4.0"}, follow=True)
    run = ImportRun.objects.get()
    assert (run.name, run.state, run.requested_by.username) == ("my-votes", "waiting", "sam")
    assert "Waiting for a worker" in page.content.decode()
    assert 'http-equiv="refresh"' in page.content.decode()

    assert tasks.run_import() == run.pk
    run.refresh_from_db()
    assert (run.state, run.report["imported"]) == ("done", 2)
    assert not ImportPiece.objects.exists()
    assert Vote.objects.first().battle.source.licence == "CC-BY-4.0"
    page = staff.get(f"{IMPORT}{run.pk}/").content.decode()
    assert "alpha · beta · gamma" in page
    assert "refresh" not in page
    assert tasks.run_import() is None


def test_a_large_upload_is_put_together_again(staff, settings, monkeypatch):
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 0  # as for every file that is larger: on the disk
    monkeypatch.setattr(import_runs, "_PIECE", 10)
    staff.post(IMPORT, {"upload": upload()})
    assert ImportPiece.objects.count() == 6
    tasks.run_import()
    assert ImportRun.objects.get().report["imported"] == 2


def test_a_file_that_cannot_be_read_is_refused_line_by_line(staff):
    staff.post(IMPORT, {"upload": upload(PLAIN + b"alpha,beta,<b>nobody</b>\n")})
    tasks.run_import()
    run = ImportRun.objects.get()
    assert run.state == "refused"
    page = staff.get(f"{IMPORT}{run.pk}/").content.decode()
    assert "line 4: winner: &#x27;&lt;b&gt;nobody&lt;/b&gt;&#x27;" in page
    assert not Vote.objects.exists()


def test_a_file_on_the_server_can_be_chosen_and_no_other(staff, folder):
    (folder / "votes.csv").write_bytes(PLAIN)
    (folder / "notes.md").write_text("not votes")
    (folder.parent / "secret.csv").write_bytes(PLAIN)
    page = staff.get(IMPORT).content.decode()
    assert "votes.csv" in page
    assert "notes.md" not in page
    refused = staff.post(IMPORT, {"file": "../secret.csv"})
    assert "not one of the available choices" in refused.content.decode()
    staff.post(IMPORT, {"file": "votes.csv"})
    tasks.run_import()
    assert ImportRun.objects.get().state == "done"
    assert (folder / "votes.csv").exists()


def test_a_run_whose_file_is_gone_says_so(staff, folder):
    run = import_runs.request(upload=None, file="../secret.csv", name="x")
    (folder.parent / "secret.csv").write_bytes(PLAIN)
    import_runs.run_next()
    run.refresh_from_db()
    assert run.state == "refused"
    assert "does not find" in run.error


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "Choose one file"),
        ({"upload": upload(), "file": "votes.csv"}, "Choose one file"),
        ({"file": "votes.csv", "name": "not a slug"}, "valid “slug”"),
        ({"upload": upload(b"")}, "empty"),
        ({"upload": upload(name="模型.csv")}, "gives none"),
    ],
)
def test_the_import_form_says_what_is_wrong(staff, folder, fields, complaint):
    (folder / "votes.csv").write_bytes(PLAIN)
    assert complaint in staff.post(IMPORT, fields).content.decode()
    assert not ImportRun.objects.exists()


def test_an_upload_that_is_too_large_is_sent_to_the_command(staff, settings):
    settings.MAX_IMPORT_MB = 1
    page = staff.post(IMPORT, {"upload": upload(b"x" * ((1 << 20) + 1))}).content.decode()
    assert "manage.py import_votes" in page
    assert not ImportRun.objects.exists()


def test_a_file_of_too_many_votes_is_sent_to_the_command(staff, settings):
    settings.MAX_IMPORT_VOTES = 1
    staff.post(IMPORT, {"upload": upload()})
    tasks.run_import()
    assert "More than 1 votes" in ImportRun.objects.get().error
    assert not Vote.objects.exists()


def test_a_run_whose_worker_died_is_taken_up_again_and_given_up_in_the_end():
    run = import_runs.request(upload=upload(), file="")
    dead = timezone.now() - 2 * import_runs.DEAD_AFTER
    ImportRun.objects.update(state="running", heartbeat_at=timezone.now(), attempts=1)
    assert import_runs.run_next() is None
    ImportRun.objects.update(heartbeat_at=dead, attempts=import_runs.MAX_ATTEMPTS)
    assert import_runs.run_next() is None
    run.refresh_from_db()
    assert (run.state, run.error) == ("refused", "3 workers died of it.")

    again = import_runs.request(upload=upload(), file="")
    ImportRun.objects.filter(pk=again.pk).update(state="running", heartbeat_at=dead, attempts=1)
    assert import_runs.run_next() == again.pk
    again.refresh_from_db()
    assert (again.state, again.attempts) == ("done", 2)


def test_an_error_of_ours_ends_a_run_and_not_the_worker(monkeypatch, caplog):
    run = import_runs.request(upload=upload(), file="")
    monkeypatch.setattr(import_runs, "import_votes", lambda *args, **kwargs: 1 / 0)
    assert import_runs.run_next() == run.pk
    run.refresh_from_db()
    assert (run.state, run.error) == ("refused", "An error on our side; the log has it.")
    assert "ZeroDivisionError" in caplog.text


def test_the_database_refuses_a_run_that_is_over_at_no_time():
    run = import_runs.request(upload=upload(), file="")
    with pytest.raises(IntegrityError), transaction.atomic():
        ImportRun.objects.filter(pk=run.pk).update(state="done")
    with pytest.raises(IntegrityError), transaction.atomic():
        ImportPiece.objects.create(run=run, number=0, content=b"")


# export


def test_the_preview_shows_the_beginning_and_downloads_nothing(staff):
    factories.vote(contestant_a=factories.contestant(name="<i>x</i>"))
    settling.settle_all()
    page = staff.post(EXPORT, {"format": "plain", "preview": ""})
    assert "Content-Disposition" not in page
    text = page.content.decode()
    assert "1 vote of 1 looked at" in text
    assert "&lt;i&gt;x&lt;/i&gt;" in text


def test_the_page_says_how_many_votes_have_no_text_and_which_formats_leave_them_out(staff):
    factories.vote()
    settling.settle_all()
    assert "without the texts" not in staff.get(EXPORT).content.decode()
    staff.post(IMPORT, {"upload": upload()})
    tasks.run_import()
    settling.settle_all()
    page = staff.get(EXPORT).content.decode()
    assert "2 counted votes came without the texts" in page
    assert "leave them out (arena-human-preference-55k, " in page
    preview = staff.post(EXPORT, {"format": "55k", "preview": ""}).content.decode()
    assert "1 vote of 1 looked at. 2 more would pass and are left out" in preview
    preview = staff.post(EXPORT, {"format": "plain", "preview": ""}).content.decode()
    assert "3 votes of 3 looked at. The file begins" in preview


@pytest.mark.parametrize("address", [IMPORT, EXPORT])
def test_the_pages_stand_under_the_tabs_of_the_leaderboard(staff, address):
    page = staff.get(address).content.decode()
    assert f'<a href="{address}" aria-current="page">' in page
    assert ">Ratings</a>" in page


def test_the_administration_has_the_sites_icon(admin_client):
    assert (
        '<link rel="icon" href="/static/arena/icon' in admin_client.get("/admin/").content.decode()
    )


def test_a_download_is_the_filtered_file(staff):
    for choice in ("a", "tie"):
        factories.vote(choice)
    settling.settle_all()
    page = staff.post(EXPORT, {"format": "plain", "category": "exclude-ties", "download": ""})
    assert page.streaming
    assert page["Content-Disposition"].startswith('attachment; filename="votes-plain-')
    assert b"".join(page.streaming_content).count(b"\n") == 2


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"format": "xlsx"}, "not one of the available choices"),
        ({"format": "plain", "category": "cooking"}, "not one of the available choices"),
        ({"format": "plain", "turns": "many"}, "A number, or multi."),
        ({"format": "plain", "since": "yesterday"}, "Enter a valid date."),
        ({"format": "arena", "language": "en"}, "no filters"),
    ],
)
def test_the_export_form_says_what_is_wrong(staff, fields, complaint):
    page = staff.post(EXPORT, {**fields, "download": ""})
    assert page.status_code == 200
    assert complaint in page.content.decode()


@pytest.mark.django_db(transaction=True)
async def test_a_download_streams_from_the_asynchronous_server():
    from asgiref.sync import sync_to_async

    await sync_to_async(factories.vote)()
    await sync_to_async(settling.settle_all)()
    user = await sync_to_async(User.objects.create_superuser)("root", password="x")
    client = AsyncClient()
    await client.aforce_login(user)
    for format in ("plain", "arena", "dpo"):
        page = await client.post(EXPORT, {"format": format, "download": ""})
        assert page.is_async
        assert (b"".join([piece async for piece in page.streaming_content])).count(b"\n") in (1, 2)
