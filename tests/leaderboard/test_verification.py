import gzip

import pytest
from django.core.management import CommandError, call_command

from arena import votes
from arena.models import Battle, Contestant, Source, Vote, Voter
from leaderboard import public_votes, snapshots, verification
from leaderboard.models import Category, Method, PairCount, Rating, Snapshot, VoteFeatures
from leaderboard.tally import settling
from leaderboard.transfer import importing
from tests import factories
from tests.leaderboard.imported import imported_votes

pytestmark = pytest.mark.django_db
NUMBERS = [
    field.name
    for field in Rating._meta.fields
    if field.name not in ("id", "snapshot", "contestant")
]


@pytest.fixture(autouse=True)
def few_rounds(settings):
    settings.BOOTSTRAP_ROUNDS = settings.ELO_BOOTSTRAP_ROUNDS = 30
    settings.BOOTSTRAP_ROUNDS_OVERALL = 100


@pytest.fixture
def counted():
    """120 votes, and a model without any."""
    imported_votes(120)
    factories.contestant(name="Without votes")
    settling.settle_all()


@pytest.fixture
def overall(counted):
    return snapshots.publish(Category.objects.get(slug="overall"))


@pytest.fixture
def published(counted):
    """A snapshot of every category and method."""
    assert snapshots.publish_all()
    return list(Snapshot.objects.select_related("category"))


@pytest.fixture
def export(counted, tmp_path):
    path = tmp_path / "votes.csv"
    public_votes.write_file(path)
    return path


def test_every_snapshot_is_what_the_export_gives(published, export):
    assert {snapshot.method for snapshot in published} == set(Method.values)
    for snapshot in published:
        verdict = verification.verify(snapshot, export)
        assert verdict.equal, verdict
        assert verdict.counted == snapshot.votes_counted
        assert verdict.compared >= snapshot.ratings.count() * len(NUMBERS)


def test_the_file_alone_is_asked_for_votes(overall, export):
    """Whatever became of the votes since."""
    PairCount.objects.all().delete()
    VoteFeatures.objects.all().delete()
    Vote.objects.all().delete()
    assert verification.verify(overall, export).equal


def test_a_changed_byte_is_named_by_its_line(overall, export, capsys):
    lines = export.read_bytes().split(b"\r\n")
    lines[41] = lines[41].replace(b"Model ", b"model ", 1)
    export.write_bytes(b"\r\n".join(lines))
    with pytest.raises(CommandError, match="not what these votes give"):
        call_command("snapshot", "verify", str(overall.pk), "--export", str(export))
    output = capsys.readouterr().out
    assert "Line 42: its digest is not that of its cells" in output
    assert "1 pair counts differ" in output


def test_a_vote_that_was_left_out_is_named_by_its_pair(overall, export):
    lines = export.read_bytes().split(b"\r\n")
    cells = lines.pop(41).decode().split(",")
    export.write_bytes(b"\r\n".join(lines))
    verdict = verification.verify(overall, export)
    (pair,) = verdict.pairs
    assert {pair.first, pair.second} == {cells[1], cells[2]}
    assert pair.published == pair.found + 1
    assert verdict.bad_rows == 0
    assert verdict.numbers


@pytest.mark.parametrize("column", NUMBERS)
def test_any_number_that_was_tampered_with_is_named(overall, export, column):
    row = overall.ratings.filter(rating__isnull=False).first()
    value = {"status": "provisional", "lower": row.lower - 0.01, "boot_lower": 1.0}.get(column)
    if value is None:
        value = getattr(row, column) + (1 if isinstance(getattr(row, column), int) else 1e-6)
    Rating.objects.filter(pk=row.pk).update(**{column: value})
    verdict = verification.verify(overall, export)
    assert [(d.subject, d.column) for d in verdict.numbers] == [(row.contestant.name, column)]


def test_a_tampered_effect_of_style_is_named(overall, export):
    snapshot = snapshots.publish(overall.category, Method.STYLE_CONTROL)
    snapshot.extra["styles"][1]["elo"] += 0.5
    (difference,) = verification.verify(snapshot, export).numbers
    assert difference.column == "extra.styles.1.elo"


def test_another_seed_than_that_of_the_votes_is_no_excuse(overall, export):
    overall.configuration["seed"] += 1
    (difference,) = verification.verify(overall, export).numbers
    assert (difference.subject, difference.column) == ("configuration", "seed")


def test_numbers_of_another_version_of_the_engine_say_so(overall, export):
    overall.code_version = "0.1.0+ratings.1"
    (trouble,) = verification.verify(overall, export).trouble
    assert "version 1" in trouble


def test_the_command_makes_the_export_itself(overall, capsys):
    call_command("snapshot", "verify", str(overall.pk))
    assert "Identical: every rating, rank and interval." in capsys.readouterr().out


def test_a_compressed_export_is_read_too(overall, export, tmp_path):
    packed = tmp_path / "votes.csv.gz"
    packed.write_bytes(gzip.compress(export.read_bytes()))
    assert verification.verify(overall, packed).equal


def test_votes_that_changed_since_are_said_to_be_the_reason(overall, export, capsys):
    votes.exclude(vote_id=Vote.objects.first().pk, reason="administrator")
    settling.settle_all()
    with pytest.raises(CommandError):
        call_command("snapshot", "verify", str(overall.pk))
    assert "counted or withdrawn since" in capsys.readouterr().out
    call_command("snapshot", "verify", str(overall.pk), "--export", str(export))


def test_a_file_that_is_no_export_is_refused(overall, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("model_a,model_b,winner\nx,y,model_a\n")
    with pytest.raises(CommandError, match="no public vote export"):
        call_command("snapshot", "verify", str(overall.pk), "--export", str(path))
    with pytest.raises(CommandError, match="Cannot read"):
        call_command("snapshot", "verify", str(overall.pk), "--export", str(tmp_path / "none"))
    with pytest.raises(CommandError, match="no snapshot 0"):
        call_command("snapshot", "verify", "0")


def test_an_export_imported_into_an_empty_arena_gives_the_same_boards(published, export):
    """Promise I1. The models there have other ids, and no model is known that has no votes."""
    before = {(s.category.slug, s.method): numbers_of(s) for s in published}
    for model in (Snapshot, PairCount, VoteFeatures, Vote, Battle, Voter, Contestant, Source):
        model.objects.all().delete()
    for name in ("Unrelated", "Also unrelated"):
        factories.contestant(name=name, status=Contestant.Status.RETIRED)
    importing.import_votes(export, name="the-other-arena")
    settling.settle_all()
    snapshots.publish_all()
    after = {
        (s.category.slug, s.method): numbers_of(s)
        for s in Snapshot.objects.select_related("category")
    }
    assert after == before
    for snapshot in Snapshot.objects.select_related("category"):
        assert verification.verify(snapshot, export).numbers == []


def numbers_of(snapshot: Snapshot) -> dict[str, tuple[object, ...]]:
    rated = snapshot.ratings.filter(votes__gt=0).values_list("contestant__name", *NUMBERS)
    return {name: tuple(numbers) for name, *numbers in rated}


def test_a_category_is_verified_by_its_own_votes(counted, export):
    german = snapshots.publish(Category.objects.get(slug="german"))
    assert verification.verify(german, export).counted == 60
