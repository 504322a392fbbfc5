from __future__ import annotations

import csv
import gc
import gzip
import io
import json
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from arena.models import Answer, Battle, Turn, Vote
from leaderboard.models import VoteFeatures
from leaderboard.tally import settling
from leaderboard.transfer import exporting
from leaderboard.transfer.exporting import BadFilter, Filters, export_votes
from leaderboard.transfer.importing import import_votes
from tests import factories

pytestmark = pytest.mark.django_db


def exported(format: str, **filters: Any) -> str:
    settling.settle_all()
    stream = io.BytesIO()
    export_votes(stream, format=format, filters=Filters(**filters))
    return stream.getvalue().decode()


def rows(format: str = "plain", **filters: Any) -> list[dict[str, Any]]:
    text = exported(format, **filters)
    if exporting.FORMATS[format].extension == "csv":
        return list(csv.DictReader(io.StringIO(text, newline="")))
    return [json.loads(line) for line in text.splitlines()]


def pairs(**filters: Any) -> list[tuple[str, str, str]]:
    return [(row["model_a"], row["model_b"], row["winner"]) for row in rows(**filters)]


@pytest.fixture
def two():
    return factories.contestant(name="a"), factories.contestant(name="b")


def vote(two: Any, choice: str = "a", *, prompt: str = "Why?", **fields: Any) -> Vote:
    made = factories.vote(choice, contestant_a=two[0], contestant_b=two[1], **fields)
    Turn.objects.filter(battle=made.battle).update(prompt=prompt)
    return made


def another_turn(made: Vote) -> None:
    turn = Turn.objects.create(
        battle=made.battle, number=2, prompt="And?", heartbeat_at=made.created_at, state="done"
    )
    for slot, model in (("a", made.battle.contestant_a), ("b", made.battle.contestant_b)):
        Answer.objects.create(
            turn=turn, slot=slot, contestant=model, state="complete", text=f"Then {slot}."
        )
    Vote.objects.filter(pk=made.pk).update(turn=2)


def test_the_plain_format_has_a_row_a_vote(two):
    made = vote(two, "both_bad")
    (row,) = rows()
    assert (row["model_a"], row["model_b"], row["winner"]) == ("a", "b", "tie (bothbad)")
    assert row["id"] == made.battle.public_id
    assert row["timestamp"] == made.created_at.isoformat()


def test_no_voters_key_is_in_any_format_but_votes_of_one_voter_can_be_told(two):
    voter = factories.voter()
    for _ in range(2):
        vote(two, voter=voter)
    vote(two)
    for format in exporting.FORMATS:
        assert voter.key not in exported(format)
    judges = [row["judge"] for row in rows()]
    assert judges[0] == judges[1] != judges[2]


def test_the_55k_format_holds_the_texts_of_each_turn(two):
    another_turn(vote(two))
    (row,) = rows("55k")
    assert json.loads(row["prompt"]) == ["Why?", "And?"]
    assert json.loads(row["response_b"]) == ["Because of b.", "Then b."]
    assert (row["winner_model_a"], row["winner_tie"]) == ("1", "0")


def test_turns_after_the_vote_are_not_part_of_it(two):
    made = vote(two)
    another_turn(made)
    Vote.objects.filter(pk=made.pk).update(turn=1)
    assert json.loads(rows("55k")[0]["prompt"]) == ["Why?"]


def test_the_140k_format_is_read_back_as_it_was(two, tmp_path):
    another_turn(vote(two, "both_bad"))
    text = exported("140k")
    path = tmp_path / "votes.jsonl"
    path.write_text(text)
    assert import_votes(path, name="back").imported == 1
    back = Vote.objects.get(battle__source__name="back")
    assert (back.choice, back.turn, back.battle.turns.count()) == ("both_bad", 2, 2)


def test_preference_pairs_are_of_blind_votes_that_count(two):
    vote(two, "b")
    vote(two, "tie")
    vote(two, mode=Battle.Mode.SIDE_BY_SIDE)
    excluded = vote(two)
    Vote.objects.filter(pk=excluded.pk).update(
        status=Vote.Status.EXCLUDED, exclusion_reason=Vote.Exclusion.ADMINISTRATOR
    )
    dpo = rows("dpo", include_excluded=True)
    assert [(r["chosen"][1]["content"], r["rejected"][1]["content"]) for r in dpo] == [
        ("Because of b.", "Because of a.")
    ]
    labels = [row["label"] for row in rows("kto", include_excluded=True)]
    assert labels == [False, True, True, True]


def test_excluded_and_held_votes_come_only_on_request(two):
    vote(two)
    for status, reason in (("excluded", "administrator"), ("held", "")):
        made = vote(two)
        Vote.objects.filter(pk=made.pk).update(status=status, exclusion_reason=reason)
    assert len(rows()) == 1
    assert len(rows(include_excluded=True)) == 3


def test_a_vote_that_waits_is_not_exported(two):
    vote(two)
    settling.settle_all()
    vote(two)
    stream = io.BytesIO()
    assert export_votes(stream, format="plain", filters=Filters(include_excluded=True)).rows == 1


def test_a_category_is_its_rule(two):
    vote(two, prompt="Write a function in Python that sorts a list.\n```python\nx = [2, 1]\n```")
    vote(two, "tie", prompt="Who painted the Mona Lisa?")
    assert pairs(category="coding") == [("a", "b", "model_a")]
    assert pairs(category="exclude-ties") == [("a", "b", "model_a")]
    assert len(pairs(category="overall")) == 2
    with pytest.raises(BadFilter, match="No category 'cooking'"):
        pairs(category="cooking")


def test_time_turns_and_language_choose(two):
    old, new = vote(two), vote(two, "b")
    another_turn(new)
    for made, year in ((old, 2024), (new, 2025)):
        Vote.objects.filter(pk=made.pk).update(created_at=datetime(year, 1, 1, tzinfo=UTC))
    settling.settle_all()
    VoteFeatures.objects.filter(vote=new).update(language="de")
    VoteFeatures.objects.filter(vote=old).update(language="en")
    first, second = ("a", "b", "model_a"), ("a", "b", "model_b")
    assert pairs(since=datetime(2025, 1, 1, tzinfo=UTC)) == [second]
    assert pairs(until=datetime(2025, 1, 1, tzinfo=UTC)) == [first]
    assert pairs(turns=1) == [first]
    assert pairs(multi_turn=True) == pairs(turns=2) == [second]
    assert pairs(language="de") == [second]


def test_both_models_must_have_the_licence(two):
    other = factories.contestant(name="c", licence="MIT")
    vote(two)
    vote((two[0], other))
    assert pairs(licences=("apache-2.0",)) == [("a", "b", "model_a")]
    assert len(pairs(licences=("mit", "Apache-2.0"))) == 2


def test_voters_agree_who_judge_the_same_prompt_and_models_alike_whatever_the_sides(two):
    swapped = two[::-1]
    vote(two, "a", prompt="agreed")
    vote(swapped, "b", prompt="agreed")
    vote(two, "a", prompt="disputed")
    vote(swapped, "a", prompt="disputed")
    vote(two, "a", prompt="only one")
    assert [json.loads(r["prompt"]) for r in rows("55k", agreed_only=True)] == [["agreed"]] * 2
    assert len(pairs(agreed_only=True)) == 2


def test_a_vote_without_text_is_no_training_data(tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("model_a,model_b,winner\na,b,model_a\n")
    import_votes(path)
    for format in ("55k", "140k", "dpo", "kto"):
        assert rows(format) == []
    assert len(rows()) == 1


def test_cells_that_a_spreadsheet_would_run_are_escaped():
    models = factories.contestant(name="=1+1"), factories.contestant(name="@cmd")
    vote(models, prompt="-2+3")
    for format in ("plain", "55k", "arena"):
        (row,) = rows(format)
        assert (row["model_a"], row["model_b"]) == ("'=1+1", "'@cmd")


def test_pages_join_to_one_file(two, monkeypatch):
    for choice in ("a", "b", "tie", "both_bad", "a"):
        vote(two, choice)
    whole = {format: exported(format) for format in exporting.FORMATS}
    monkeypatch.setattr(exporting, "PAGE", 2)
    monkeypatch.setattr(exporting, "PUBLIC_PAGE", 2)
    assert {format: exported(format) for format in exporting.FORMATS} == whole
    assert whole["plain"].count("\n") == whole["arena"].count("\n") == 6


@pytest.mark.parametrize("format", sorted(exporting.FORMATS))
def test_an_export_of_nothing_is_a_file_of_its_format(format):
    head = exported(format)
    assert head.count("\n") == (1 if exporting.FORMATS[format].header else 0)


def test_the_public_export_knows_no_filters(two):
    vote(two)
    assert len(rows("arena")) == 1
    with pytest.raises(BadFilter, match="no filters"):
        rows("arena", language="en")


def test_the_number_of_queries_does_not_grow_with_the_votes(two, django_assert_max_num_queries):
    for _ in range(12):
        vote(two)
    settling.settle_all()
    with django_assert_max_num_queries(5):  # one page: votes, turns, answers; the empty next one
        export_votes(io.BytesIO(), format="55k", filters=Filters())


@pytest.mark.any_database
def test_memory_does_not_grow_with_the_votes(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "PAGE", 50)
    path = tmp_path / "votes.csv"
    path.write_text("model_a,model_b,winner\n" + "a,b,model_a\n" * 1_000)
    import_votes(path)
    Vote.objects.update(status=Vote.Status.COUNTED, tallied=True, tally_due=False)
    held = []

    def measure(piece: exporting.Piece) -> None:
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])

    class Nowhere(io.BytesIO):
        def write(self, data: Any) -> int:
            return len(data)

    tracemalloc.start()
    done = export_votes(Nowhere(), format="plain", filters=Filters(), on_progress=measure)
    tracemalloc.stop()
    assert (done.rows, len(held)) == (1_000, 20)
    assert held[-1] - held[1] < 50_000  # 18 pages later


# the command


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("export_votes", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_command_says_how_many_votes_it_leaves_out_for_want_of_text(two, tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("model_a,model_b,winner\na,b,model_a\na,b,model_b\n")
    import_votes(path)
    vote(two)
    settling.settle_all()
    _, err = run("--format", "dpo", "--output", str(tmp_path / "votes.jsonl"))
    assert "1 votes, 1 rows. 2 more would pass and are left out, having no text." in err
    out, _ = run("--format", "dpo", "--preview")
    assert "1 votes of 1 looked at. 2 more would pass and are left out" in out
    _, err = run("--format", "plain", "--output", str(tmp_path / "votes.csv"))
    assert "left out" not in err


def test_the_command_writes_a_compressed_file_that_is_the_same_each_time(two, tmp_path):
    vote(two)
    settling.settle_all()
    files = [tmp_path / name for name in ("one.csv.gz", "two.csv.gz")]
    for path in files:
        _, err = run("--format", "plain", "--output", str(path))
        assert "1 votes, 1 rows." in err
    assert files[0].read_bytes() == files[1].read_bytes()
    assert gzip.decompress(files[0].read_bytes()).startswith(b"id,model_a,model_b,winner")


def test_the_command_shows_the_beginning_and_the_totals(two):
    for _ in range(7):
        vote(two)
    settling.settle_all()
    out, _ = run("--format", "dpo", "--preview")
    *shown, total = out.splitlines()
    assert [json.loads(line)["prompt"] for line in shown] == ["Why?"] * 5
    assert total == "7 votes of 7 looked at."


def test_the_command_takes_days_and_turns(two):
    made = vote(two)
    Vote.objects.filter(pk=made.pk).update(created_at=datetime(2025, 6, 1, 23, 59, tzinfo=UTC))
    settling.settle_all()
    period = ["--from", "2025-06-01", "--to", "2025-06-01"]
    out, _ = run("--format", "plain", "--preview", "--turns", "1", *period)
    assert out.endswith("1 votes of 1 looked at.\n")
    with pytest.raises(CommandError, match="neither a number nor multi"):
        run("--format", "plain", "--preview", "--turns", "0")


def test_a_failed_export_leaves_no_file(two, tmp_path, monkeypatch):
    vote(two)
    settling.settle_all()
    monkeypatch.setattr(exporting, "_record", lambda *args, **kwargs: 1 / 0)
    path = tmp_path / "votes.csv"
    with pytest.raises(ZeroDivisionError):
        run("--format", "plain", "--output", str(path))
    assert list(tmp_path.iterdir()) == []
