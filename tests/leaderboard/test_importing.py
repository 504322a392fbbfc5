from __future__ import annotations

import csv
import gc
import gzip
import http.server
import io
import json
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from arena.models import Answer, Battle, Contestant, Source, Turn, Vote, Voter
from leaderboard import public_votes, snapshots
from leaderboard.models import OVERALL, Category, PairCount, Rating, VoteFeatures
from leaderboard.tally import settling
from leaderboard.transfer import downloads, imported_votes, importing
from leaderboard.transfer.downloads import DownloadFailed
from leaderboard.transfer.importing import ImportRefused, import_votes
from leaderboard.transfer.stated import language_code
from tests import factories
from tests.arena.backends.tls import Authority
from tests.leaderboard.ratings.vote_files import GOLDEN

pytestmark = pytest.mark.django_db

PLAIN = """model_a,model_b,winner
alpha,beta,model_a
alpha,beta,model_a
beta,gamma,tie (bothbad)
gamma,alpha,tie
"""


def written(folder: Path, text: str, name: str = "votes.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def counts() -> dict[tuple[str, str, str], int]:
    settling.settle_all()
    return {
        (c.lo.name, c.hi.name, c.outcome): c.n
        for c in PairCount.objects.filter(category__slug=OVERALL, n__gt=0).select_related(
            "lo", "hi"
        )
    }


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(ImportRefused) as refused:
        import_votes(path, **options)
    return str(refused.value)


def nothing_is_stored() -> bool:
    return not any(
        model.objects.exists() for model in (Source, Battle, Vote, Voter, Contestant, Turn)
    )


def test_votes_are_imported_and_counted(tmp_path):
    report = import_votes(written(tmp_path, PLAIN))
    assert (report.source, report.format) == ("votes", "plain")
    assert (report.rows, report.imported, report.known) == (4, 4, 0)
    assert report.models_new == ["alpha", "beta", "gamma"]
    assert counts() == {
        ("alpha", "beta", "lo"): 2,
        ("beta", "gamma", "both_bad"): 1,
        ("alpha", "gamma", "tie"): 1,
    }


def test_models_are_found_by_their_exact_names_and_unknown_ones_are_never_drawn(tmp_path):
    known = factories.contestant(name="alpha")
    report = import_votes(written(tmp_path, PLAIN))
    assert report.models_known == ["alpha"]
    assert Battle.objects.filter(contestant_a=known).count() == 2
    made = Contestant.objects.get(name="gamma")
    assert (made.status, made.endpoint) == (Contestant.Status.IMPORTED, None)
    assert list(Contestant.objects.drawable()) == [known]


def test_importing_the_same_file_again_changes_nothing(tmp_path):
    path = written(tmp_path, PLAIN)
    import_votes(path)
    before = counts()
    report = import_votes(path)
    assert (report.imported, report.known) == (0, 4)
    assert (report.models_new, report.models_known) == ([], ["alpha", "beta", "gamma"])
    assert counts() == before
    assert Source.objects.count() == 1


def test_a_model_renamed_since_is_not_made_again_by_the_same_file(tmp_path):
    path = written(tmp_path, PLAIN)
    import_votes(path)
    Contestant.objects.filter(name="alpha").update(name="Alpha 1.0")
    report = import_votes(path)
    assert (report.models_new, report.models_known) == ([], ["beta", "gamma"])
    assert Contestant.objects.count() == 3


def test_a_file_that_has_grown_adds_only_what_is_new(tmp_path):
    import_votes(written(tmp_path, PLAIN))
    grown = PLAIN + "alpha,beta,model_a\nbeta,alpha,model_a\n"
    report = import_votes(written(tmp_path, grown))
    assert (report.imported, report.known) == (2, 4)
    assert counts()["alpha", "beta", "lo"] == 3


def test_the_same_votes_under_another_name_are_other_votes(tmp_path):
    path = written(tmp_path, PLAIN)
    import_votes(path, name="one")
    assert import_votes(path, name="two").imported == 4
    assert counts()["alpha", "beta", "lo"] == 4


def test_a_source_does_not_change_its_format(tmp_path):
    import_votes(written(tmp_path, PLAIN))
    other = json.dumps({"tstamp": 1, "type": "chat"}) + "\n" + json.dumps(fastchat_vote())
    assert "another name" in refusal(written(tmp_path, other, "votes.jsonl"))
    assert Vote.objects.count() == 4


def test_bad_rows_are_named_by_their_lines_and_nothing_is_imported(tmp_path):
    bad = PLAIN + "alpha,beta,nobody\nalpha,beta\n"
    text = refusal(written(tmp_path, bad))
    assert "2 of 6 rows" in text
    assert "line 6: winner: 'nobody'" in text
    assert "line 7: 2 cells under 3 columns" in text
    assert nothing_is_stored()


def test_of_very_many_bad_rows_twenty_are_named(tmp_path):
    text = refusal(written(tmp_path, PLAIN + "alpha,beta,nobody\n" * 30))
    assert text.count("'nobody'") == 20
    assert text.endswith("… and 10 more")


def test_the_rest_is_imported_on_request(tmp_path):
    bad = PLAIN + "alpha,beta,nobody\n" + "beta,alpha,model_a\n"
    report = import_votes(written(tmp_path, bad), skip_bad=True)
    assert (report.rows, report.imported, report.bad_count) == (6, 5, 1)
    assert report.bad == ["line 6: winner: 'nobody'"]


def test_a_name_too_long_for_the_database_is_a_bad_row(tmp_path):
    text = refusal(written(tmp_path, PLAIN + f"{'x' * 101},beta,tie\n"))
    assert "line 6: a model's name of more than 100 characters" in text


def test_self_battles_are_left_out_and_counted(tmp_path):
    report = import_votes(written(tmp_path, PLAIN + "alpha,alpha,tie\n" * 3))
    assert report.skipped["a model against itself"] == 3
    assert report.imported == 4


def test_a_failure_in_the_middle_leaves_nothing(tmp_path, monkeypatch):
    store, calls = imported_votes.store, []

    def failing(*args: Any) -> int:
        calls.append(args)
        if len(calls) == 3:
            raise OSError("disk full")
        return store(*args)

    monkeypatch.setattr(importing, "BATCH", 1)
    monkeypatch.setattr(imported_votes, "store", failing)
    with pytest.raises(OSError, match="disk full"):
        import_votes(written(tmp_path, PLAIN))
    assert nothing_is_stored()


def test_a_file_that_changes_while_it_is_read_leaves_nothing(tmp_path):
    path = written(tmp_path, PLAIN)

    def meddle(progress: importing.Progress) -> None:
        if progress.phase == "checking" and progress.done:
            path.write_text(PLAIN + "alpha,beta,nobody\n")

    assert "line 6" in refusal(path, on_progress=meddle)
    assert nothing_is_stored()


def test_naughty_names_come_through_unchanged(tmp_path):
    names = [
        "Ünïcödé 模型 🦙",
        "<script>alert(1)</script>",
        "=HYPERLINK(1)",
        "'; DROP TABLE arena_vote; --",
        'with "quotes", and commas',
        "../../etc/passwd",
        "ALPHA",
        "alpha",
        "\u202eright to left",
    ]
    rows = io.StringIO()
    table = csv.writer(rows)
    table.writerow(["model_a", "model_b", "winner"])
    table.writerows([name, "other", "model_a"] for name in names)
    report = import_votes(written(tmp_path, rows.getvalue()))
    assert set(report.models_new) == {*names, "other"}
    assert len(set(Contestant.objects.values_list("slug", flat=True))) == len(names) + 1


def test_a_prefix_keeps_the_models_of_two_sets_apart(tmp_path):
    path = written(tmp_path, PLAIN)
    import_votes(path, name="one", prefix="one/")
    import_votes(path, name="two", prefix="two/")
    assert Contestant.objects.filter(name="two/alpha").exists()
    assert counts()["one/alpha", "one/beta", "lo"] == 2


def test_a_file_without_votes_leaves_nothing(tmp_path):
    report = import_votes(written(tmp_path, "model_a,model_b,winner\nalpha,alpha,tie\n"))
    assert (report.rows, report.imported) == (1, 0)
    assert nothing_is_stored()


@pytest.mark.parametrize("name", ["Übung 1", "a/b", "x" * 61])
def test_a_source_is_named_by_a_slug(tmp_path, name):
    assert "cannot name a source" in refusal(written(tmp_path, PLAIN), name=name)


def test_the_file_names_the_source(tmp_path):
    path = tmp_path / "WMT16_ron-eng.csv.gz"
    path.write_bytes(gzip.compress(PLAIN.encode()))
    assert import_votes(path).source == "wmt16-ron-eng"


# what a record says


def test_judges_become_voters_who_stay_the_same(tmp_path, settings):
    text = "model_a,model_b,winner,judge\na,b,tie,ann\nb,a,tie,bob\nb,c,tie,ann\nc,a,tie,\n"
    import_votes(written(tmp_path, text))
    by_pair = {
        (v.battle.contestant_a.name, v.battle.contestant_b.name): v.voter
        for v in Vote.objects.select_related(
            "voter", "battle__contestant_a", "battle__contestant_b"
        )
    }
    assert by_pair["a", "b"] == by_pair["b", "c"] != by_pair["b", "a"]
    assert by_pair["c", "a"] is None
    assert all(len(voter.key) == 32 and "ann" not in voter.key for voter in Voter.objects.all())
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "the next one"
    import_votes(written(tmp_path, text + "a,c,tie,ann\n"))
    assert Voter.objects.count() == 2


def test_the_same_judge_of_two_sources_is_two_voters(tmp_path):
    path = written(tmp_path, "model_a,model_b,winner,judge\na,b,tie,1\n")
    import_votes(path, name="one")
    import_votes(path, name="two")
    assert Voter.objects.count() == 2


def test_a_vote_keeps_its_time_and_the_probability_of_its_pair(tmp_path):
    text = (
        "id,model_a,model_b,winner,timestamp,pair_probability\n"
        "q1,a,b,tie,2025-03-01T12:00:00Z,0.25\n"
    )
    import_votes(written(tmp_path, text))
    vote = Vote.objects.select_related("battle").get()
    assert (
        vote.created_at.isoformat()
        == "2025-03-01T12:00:00+00:00"
        == (vote.battle.created_at.isoformat())
    )
    assert (vote.battle.external_id, vote.battle.pair_probability) == ("q1", 0.25)


def test_a_vote_that_saw_the_names_is_excluded(tmp_path):
    import_votes(
        written(tmp_path, "model_a,model_b,winner,anony\na,b,model_a,False\na,b,model_b,True\n")
    )
    assert counts() == {("a", "b", "hi"): 1}
    excluded = Vote.objects.get(status=Vote.Status.EXCLUDED)
    assert excluded.exclusion_reason == Vote.Exclusion.NAMES_SHOWN
    assert excluded.battle.mode == Battle.Mode.SIDE_BY_SIDE


def test_added_up_rows_count_as_often_as_they_say(tmp_path):
    head = "model_a,model_b,winner,count\n"
    import_votes(written(tmp_path, head + "a,b,model_a,3\n"))
    assert counts() == {("a", "b", "lo"): 3}
    report = import_votes(written(tmp_path, head + "a,b,model_a,5\n"))
    assert (report.imported, report.known) == (2, 3)


def test_added_up_rows_that_stand_for_too_many_votes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "MAX_EXPANDED", 100)
    text = "model_a,model_b,winner,count\na,b,model_a,60\na,b,model_b,60\n"
    assert "line 3: the rows up to here stand for more than 100 votes" in refusal(
        written(tmp_path, text)
    )


def test_an_id_that_comes_twice_in_a_file_is_one_vote(tmp_path):
    text = "id,model_a,model_b,winner\nq1,a,b,model_a\nq1,a,b,model_b\n"
    report = import_votes(written(tmp_path, text))
    assert report.imported == 1
    assert report.skipped[importing.REPEATED_ID] == 1


def test_what_a_source_says_of_a_vote_without_text_becomes_its_features(tmp_path):
    text = (
        "model_a,model_b,winner,language,turns,is_code,"
        "len_a,len_b,headers_a,headers_b,lists_a,lists_b,bold_a,bold_b\n"
        "a,b,tie,German,3,true,10,20,1,2,3,4,5,6\n"
    )
    import_votes(written(tmp_path, text))
    features = VoteFeatures.objects.get()
    assert (features.language, features.turns, features.code) == ("de", 3, True)
    assert (features.tokens_a, features.tokens_b) == (10, 20)
    assert (features.headers_a, features.lists_b, features.bold_b) == (1, 4, 6)
    settling.settle_all()
    categories = PairCount.objects.filter(n__gt=0).values_list("category__slug", flat=True)
    assert {"german", "coding", "multi-turn", OVERALL} <= set(categories)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("English", "en"),
        ("chinese", "zh"),
        ("en", "en"),
        ("pt-BR", "pt"),
        ("zh_CN", "zh"),
        ("", ""),
        ("Klingon", ""),
        ("unknown language", ""),
    ],
)
def test_languages_are_known_by_name_and_by_code(said, code):
    assert language_code(said) == code


# every format, end to end


def chat(prompt: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def fastchat_vote() -> dict[str, Any]:
    def state(name: str, conv: str) -> dict[str, Any]:
        return {
            "model_name": name,
            "conv_id": conv,
            "offset": 0,
            "messages": [["USER", "Why?"], ["ASSISTANT", f"Says {name}."]],
        }

    return {
        "tstamp": 1700000000.5,
        "type": "leftvote",
        "models": ["", ""],
        "states": [state("a", "c1"), state("b", "c2")],
        "ip": "203.0.113.9",
    }


COMMON = {
    "question_id": "q1",
    "model_a": "a",
    "model_b": "b",
    "winner": "model_a",
    "judge": "arena_user_1",
    "conversation_a": chat("Why?", "Says a."),
    "conversation_b": chat("Why?", "Says b."),
    "turn": 1,
    "anony": True,
    "language": "English",
    "tstamp": 1700000000,
}
SAMPLES = {
    "lmsys_33k": COMMON | {"openai_moderation": {"flagged": False}, "toxic_chat_tag": {}},
    "arena_100k": COMMON | {"dedup_tag": {"high_freq": False, "sampled": True}},
    "fastchat_battles": COMMON,
    "arena_55k": {
        "id": "1",
        "model_a": "a",
        "model_b": "b",
        "prompt": '["Why?"]',
        "response_a": '["Says a."]',
        "response_b": '["Says b."]',
        "winner_model_a": 1,
        "winner_model_b": 0,
        "winner_tie": 0,
    },
    "arena_140k": {
        "id": "1",
        "model_a": "a",
        "model_b": "b",
        "winner": "model_a",
        "evaluation_session_id": "s",
        "evaluation_order": 1,
        "conversation_a": chat("Why?", "Says a."),
        "conversation_b": chat("Why?", "Says b."),
        "timestamp": "2025-07-01 10:00:00",
    },
    "fastchat_log": fastchat_vote(),
    "openwebui": {
        "id": "f1",
        "user_id": "u",
        "type": "rating",
        "data": {"rating": 1, "model_id": "a", "sibling_model_ids": ["b"]},
        "meta": {"arena": True, "chat_id": "c", "message_id": "m1"},
        "snapshot": {
            "chat": {
                "chat": {
                    "history": {
                        "messages": {
                            "m0": {"id": "m0", "role": "user", "content": "Why?"},
                            "m1": {
                                "id": "m1",
                                "parentId": "m0",
                                "model": "a",
                                "content": "Says a.",
                            },
                            "m2": {
                                "id": "m2",
                                "parentId": "m0",
                                "model": "b",
                                "content": "Says b.",
                            },
                        }
                    }
                }
            }
        },
        "created_at": 1700000000,
    },
    "autoarena": {
        "prompt": "Why?",
        "model_a": "a",
        "model_b": "b",
        "response_a": "Says a.",
        "response_b": "Says b.",
        "judge": "gpt",
        "winner": "A",
    },
    "comparia": {
        "id": "1",
        "model_a_name": "a",
        "model_b_name": "b",
        "chosen_model_name": "a",
        "both_equal": False,
        "visitor_id": "v",
        "timestamp": "2025-01-01T00:00:00",
        "conversation_a": chat("Why?", "Says a."),
        "conversation_b": chat("Why?", "Says b."),
    },
    "plain": {
        "model_a": "a",
        "model_b": "b",
        "winner": "model_a",
        "prompt": "Why?",
        "response_a": "Says a.",
        "response_b": "Says b.",
    },
}


@pytest.mark.parametrize("format", sorted(SAMPLES))
def test_each_format_brings_its_votes_with_their_texts(tmp_path, format):
    path = written(tmp_path, json.dumps(SAMPLES[format]) + "\n", "sample.jsonl")
    report = import_votes(path)
    assert (report.format, report.imported, report.bad) == (format, 1, [])
    assert counts() == {("a", "b", "lo"): 1}
    assert Turn.objects.get().prompt == "Why?"
    answers = Answer.objects.select_related("contestant").order_by("slot")
    assert [(a.contestant.name, a.text, a.state) for a in answers] == [
        ("a", "Says a.", "complete"),
        ("b", "Says b.", "complete"),
    ]
    assert import_votes(path).imported == 0


def test_autoarena_takes_its_tables_of_responses(tmp_path):
    table = "model,response_id,prompt,response\na,1,Why?,Says a.\nb,2,Why?,Says b.\n"
    responses = written(tmp_path, table, "responses.csv")
    path = written(tmp_path, "response_a_id,response_b_id,judge_id,winner\n1,2,,A\n")
    assert "tables of responses" in refusal(path)
    assert import_votes(path, responses=[responses]).imported == 1


def test_the_public_export_of_an_arena_gives_the_same_ratings_in_another(tmp_path):
    one, two, three = (factories.contestant(name=name) for name in ("a", "b", "c"))
    for left, right, choice in [
        *[(one, two, "a")] * 3,
        *[(two, three, "a")] * 3,
        *[(three, one, "a")] * 2,
        *[(two, one, "tie"), (three, two, "both_bad"), (one, two, "b"), (three, two, "a")],
    ]:
        factories.vote(choice, contestant_a=left, contestant_b=right)
    excluded = factories.vote("a", contestant_a=three, contestant_b=two)
    Vote.objects.filter(pk=excluded.pk).update(
        status=Vote.Status.EXCLUDED, exclusion_reason=Vote.Exclusion.ADMINISTRATOR
    )
    settling.settle_all()
    factories.vote("a", contestant_a=three, contestant_b=two)  # still waiting
    before = ratings_by_category()
    path = tmp_path / "public.csv.gz"
    public_votes.write_file(path)
    empty_everything()

    report = import_votes(path)
    assert (report.format, report.imported) == ("arena", 14)
    settling.settle_all()
    assert ratings_by_category() == before
    assert Vote.objects.get(status=Vote.Status.EXCLUDED).exclusion_reason == "administrator"
    assert Vote.objects.get(status=Vote.Status.HELD).tallied is False


def test_a_public_export_that_was_changed_is_refused(tmp_path):
    factories.vote("a")
    settling.settle_all()
    path = tmp_path / "public.csv"
    public_votes.write_file(path)
    head, _, rows = path.read_text().partition("\n")
    path.write_text(f"{head}\n{rows.replace(',model_a,', ',model_b,')}")
    assert "line 2: its digest" in refusal(path)


def ratings_by_category() -> dict[tuple[str, str], tuple[Any, ...]]:
    snapshots.publish_all()
    fields = ("rating", "lower", "upper", "rank", "rank_low", "rank_high", "votes", "status")
    return {
        (r.snapshot.category.slug, r.snapshot.method, r.contestant.name): tuple(
            getattr(r, field) for field in fields
        )
        for r in Rating.objects.filter(snapshot__superseded=False, votes__gt=0).select_related(
            "snapshot__category", "contestant"
        )
    }


def empty_everything() -> None:
    from leaderboard.models import Snapshot

    Snapshot.objects.all().delete()
    for model in (PairCount, VoteFeatures, Vote, Answer, Turn, Battle, Voter, Contestant):
        model.objects.all().delete()


# size


@pytest.mark.any_database
def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    """Storing is left out: it holds one batch at a time, and the reader says when it has one."""
    monkeypatch.setattr(imported_votes, "store", lambda source, items, models: len(items))
    path = tmp_path / "rows.csv"
    with path.open("w") as file:
        file.write("model_a,model_b,winner,judge\n")
        file.writelines(f"m{i % 50},x{i % 49},model_a,judge {i}\n" for i in range(8_000))
    held: dict[str, list[int]] = {"checking": [], "storing": []}

    def measure(progress: importing.Progress) -> None:
        gc.collect()
        held[progress.phase].append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    report = import_votes(path, on_progress=measure)
    tracemalloc.stop()
    assert report.imported == 8_000
    for sizes in held.values():
        assert len(sizes) == 9
        assert sizes[-1] - sizes[2] < 100_000  # 6,000 rows later; in a list they take 5 MB


# from the web


@pytest.fixture
def web(tmp_path):
    """A folder served over TLS on this machine; gives (folder, address, client's context)."""
    folder = tmp_path / "web"
    folder.mkdir()
    authority = Authority(tmp_path)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def do_GET(self) -> None:
            if self.path.startswith("/moved/"):
                self.send_response(302)
                self.send_header("Location", self.path.removeprefix("/moved"))
                self.end_headers()
            elif self.path == "/down":
                self.send_response(302)
                self.send_header("Location", "http://127.0.0.1/votes.csv")
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *args: Any) -> None:
            """Silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = authority.server_context().wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield folder, f"https://127.0.0.1:{server.server_port}", authority.client_context()
    server.shutdown()
    thread.join()
    server.server_close()


def anywhere(address: str) -> None:
    """Even this machine."""


def test_a_file_is_fetched_through_redirects(web):
    folder, address, context = web
    (folder / "votes.csv").write_text(PLAIN)
    seen: list[tuple[int, int | None]] = []
    with downloads.downloaded(
        f"{address}/moved/votes.csv",
        check=anywhere,
        ssl_context=context,
        on_progress=lambda done, total: seen.append((done, total)),
    ) as path:
        assert path.read_text() == PLAIN
    assert seen[-1] == (len(PLAIN), len(PLAIN))
    assert not path.exists()


@pytest.mark.parametrize(
    ("path", "options", "reason"),
    [
        ("/missing.csv", {}, "answers 404"),
        ("/down", {}, "not an https address"),
        ("/votes.csv", {"max_bytes": 10}, "larger than"),
    ],
)
def test_a_file_that_must_not_be_fetched_is_not(web, path, options, reason):
    folder, address, context = web
    (folder / "votes.csv").write_text(PLAIN)
    with (
        pytest.raises(DownloadFailed, match=reason),
        downloads.downloaded(address + path, check=anywhere, ssl_context=context, **options),
    ):
        pass


@pytest.mark.parametrize(
    "url",
    ["http://example.org/votes.csv", "ftp://example.org/votes.csv", "https://user@example.org/v"],
)
def test_only_plain_https_addresses_are_asked(url):
    with pytest.raises(ImportRefused):
        import_votes(url, name="x")


def test_a_private_address_is_not_connected_to(web):
    _, address, _ = web
    with pytest.raises(ImportRefused, match="blocked_address"):
        import_votes(f"{address}/votes.csv", name="x")


# the command


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("import_votes", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_the_command_imports_counts_and_says_so(tmp_path):
    out = run(str(written(tmp_path, PLAIN + "alpha,alpha,tie\n")))
    assert "votes (plain): 5 rows read, 4 votes imported, 0 already there." in out
    assert "Skipped 1: a model against itself." in out
    assert "Models: 3 new, 0 known." in out
    assert "Counted 4 votes" in out
    assert not Vote.objects.due().exists()


def test_the_command_leaves_counting_to_the_worker_on_request(tmp_path):
    run(str(written(tmp_path, PLAIN)), "--no-count")
    assert Vote.objects.due().count() == 4


def test_the_command_refuses_with_the_reason(tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        run(str(tmp_path / "missing.csv"))


# the real sets


def rated(shared_data: Path, *names: str, prefixed: bool = False) -> dict[str, Rating]:
    for name in names:
        options = ["--prefix", f"{name}/"] if prefixed else []
        run(str(shared_data / "votes" / f"{name}.csv.gz"), *options)
    snapshot = snapshots.publish(Category.objects.get(slug=OVERALL))
    assert snapshot is not None
    return {r.contestant.name: r for r in snapshot.ratings.select_related("contestant")}


def check_golden(shared_data: Path, name: str) -> tuple[float, float]:
    """(largest difference in Elo, largest relative one in an interval's width)."""
    ours = rated(shared_data, name)
    with (shared_data / "votes" / "golden" / f"{name}.csv").open() as file:
        golden = {row["model"]: row for row in csv.DictReader(file)}
    assert ours.keys() == golden.keys()
    elo = width = 0.0
    compared = 0
    for model, row in golden.items():
        rating = ours[model]
        if rating.rating is None:
            assert rating.status in (Rating.Status.SEPARATED, Rating.Status.PROVISIONAL)
            continue
        compared += 1
        elo = max(elo, abs(rating.rating - float(row["bt"])))
        wide = float(row["bt_hi"]) - float(row["bt_lo"])
        width = max(width, abs((rating.upper - rating.lower) / wide - 1))
    assert compared >= 0.9 * len(golden)
    return elo, width


@pytest.mark.any_database
def test_a_real_set_is_rated_as_the_reference_does(shared_data):
    elo, width = check_golden(shared_data, "llmfao_gpt4")
    assert elo < 0.01
    assert width < 0.005


@pytest.mark.benchmark
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", GOLDEN)
def test_every_real_set_is_rated_as_the_reference_does(shared_data, name):
    elo, width = check_golden(shared_data, name)
    print(f"{name}: {elo:.5f} Elo, interval width {100 * width:.3f} %")
    assert elo < 0.01
    assert width < 0.005


@pytest.mark.benchmark
@pytest.mark.timeout(600)
def test_the_wmt16_sets_together_stay_separate_components(shared_data):
    names = [name for name in GOLDEN if name.startswith("wmt16")]
    ratings = rated(shared_data, *names, prefixed=True)
    by_set = {
        name: {r.status for model, r in ratings.items() if model.startswith(f"{name}/")}
        for name in names
    }
    print(by_set)
    assert sum(statuses == {"separated"} for statuses in by_set.values()) >= len(names) - 1
