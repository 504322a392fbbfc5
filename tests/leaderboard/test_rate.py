from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from leaderboard.ratings.bradley_terry import fit_bt
from leaderboard.ratings.elo import online_elo
from leaderboard.ratings.simulate import draw_population, simulate
from tests.leaderboard.ratings import vote_files

COLUMNS = ["model", "rating", "lower", "upper", "rank", "rank_low", "rank_high", "votes", "status"]
SMALL = """model_a,model_b,winner
alpha,beta,model_a
alpha,beta,model_b
beta,alpha,model_a
beta,gamma,tie
gamma,alpha,tie (bothbad)
gamma,alpha,model_a
alpha,gamma,model_a
"""


def rate(path: Path, *options: str, form: str = "json") -> Any:
    out = io.StringIO()
    if "--rounds" not in options:
        options = (*options, "--rounds", "20")
    call_command("rate", str(path), *options, "--format", form, stdout=out, stderr=io.StringIO())
    return json.loads(out.getvalue()) if form == "json" else out.getvalue()


def written(folder: Path, text: str, name: str = "votes.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, *options: str) -> str:
    with pytest.raises(CommandError) as refused:
        rate(path, *options)
    return str(refused.value)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return written(tmp_path, SMALL)


@pytest.mark.parametrize(
    ("options", "column"), [((), "bt"), (("--reweight",), "bt_rw")], ids=["bt", "reweighted"]
)
def test_a_published_set_of_votes_gets_its_reference_ratings(
    shared_data: Path, options: tuple[str, ...], column: str
) -> None:
    lines = rate(shared_data / "votes" / "arena33k_human.csv.gz", *options, "--rounds", "50")
    models = tuple(line["model"] for line in lines)
    for suffix, key in (("", "rating"), ("_lo", "lower"), ("_hi", "upper")):
        expected = vote_files.golden(shared_data, "arena33k_human", column + suffix, models)
        assert np.abs([line[key] for line in lines] - expected).max() < 0.05
    votes = vote_files.golden(shared_data, "arena33k_human", "num_battles", models)
    assert [line["votes"] for line in lines] == votes.tolist()
    ratings = [line["rating"] for line in lines]
    assert ratings == sorted(ratings, reverse=True)


def test_elo_follows_the_order_of_the_file(shared_data: Path) -> None:
    lines = rate(shared_data / "votes" / "llmfao_gpt4.csv.gz", "--method", "elo", "--rounds", "20")
    models = tuple(line["model"] for line in lines)
    expected = vote_files.golden(shared_data, "llmfao_gpt4", "elo_online", models)
    assert np.abs([line["rating"] for line in lines] - expected).max() < 1e-3
    assert all(line["lower"] < line["upper"] for line in lines)


def test_style_control_reads_the_counts_of_both_sides(shared_data: Path) -> None:
    path = shared_data / "votes" / "llmfao_crowd_style.csv.gz"
    out, err = io.StringIO(), io.StringIO()
    call_command("rate", str(path), "--method", "style", "--format", "json", stdout=out, stderr=err)
    assert "Style length: +17.6 Elo per standard deviation" in err.getvalue()
    plain = {line["model"]: line["rating"] for line in rate(path, "--rounds", "5")}
    controlled = {line["model"]: line["rating"] for line in json.loads(out.getvalue())}
    assert plain.keys() == controlled.keys()
    assert max(abs(plain[m] - controlled[m]) for m in plain) > 10


def test_style_counts_can_come_as_lmarena_publishes_them(tmp_path: Path) -> None:
    v = simulate(draw_population(4, seed=1), 600)
    rng = np.random.default_rng(0)
    words = ("model_a", "model_b", "tie", "both_bad")
    table, nested = [], []
    for a, b, o in zip(v.first, v.second, v.outcome, strict=True):
        counts = {f"{k}_{s}": int(rng.integers(1, 50)) for k in ("len", "bold") for s in "ab"}
        vote = {"model_a": f"m{a}", "model_b": f"m{b}", "winner": words[o]}
        table.append(json.dumps(vote | counts))
        turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
        metadata = {f"sum_assistant_{s}_tokens": counts[f"len_{s}"] for s in "ab"}
        # by kind of mark
        metadata |= {f"bold_count_{s}": {"**": counts[f"bold_{s}"] - 1, "__": 1} for s in "ab"}
        nested.append(vote | {"conversation_a": turns, "conversation_b": turns})
        nested[-1] |= {"tstamp": 1717000000.5, "conv_metadata": metadata}
    plain = written(tmp_path, "\n".join(table), "plain.jsonl")
    published = written(tmp_path, "\n".join(map(json.dumps, nested)), "published.jsonl")
    assert rate(plain, "--method", "style") == rate(published, "--method", "style")


def test_csv_json_lines_gzip_and_added_up_rows_are_the_same_votes(
    tmp_path: Path, small: Path
) -> None:
    rows = list(csv.DictReader(io.StringIO(SMALL)))
    lines = written(tmp_path, "\n".join(json.dumps(row) for row in rows), "votes.jsonl")
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(SMALL.encode()))
    doubled = written(
        tmp_path,
        "".join(
            f"{line},{'count' if line.startswith('model_a,') else 1}\n"
            for line in SMALL.splitlines()
        ),
        "counted.csv",
    )
    expected = rate(small, form="csv")
    assert expected.splitlines()[0].split(",") == COLUMNS
    for path in (lines, packed, doubled):
        assert rate(path, form="csv") == expected


def test_a_count_stands_for_so_many_votes(tmp_path: Path) -> None:
    path = written(
        tmp_path, "model_a,model_b,winner,count\nx,y,model_a,30\ny,x,model_a,10\nx,y,tie,0\n"
    )
    lines = rate(path)
    assert [(line["model"], line["votes"]) for line in lines] == [("x", 40), ("y", 40)]
    assert lines[0]["rating"] - lines[1]["rating"] == pytest.approx(400 * np.log10(3), abs=1e-3)
    assert "one by one" in refusal(path, "--method", "elo")


def test_a_table_is_for_reading(small: Path) -> None:
    table = rate(small, form="table").splitlines()
    assert table[0].split() == COLUMNS
    assert len(table) == 4
    assert table[1].split()[0] in {"alpha", "beta", "gamma"}


def test_an_anchor_holds_its_model(small: Path) -> None:
    for method in ("bt", "elo"):
        lines = rate(small, "--anchor", "beta=1234.5", "--method", method)
        beta = next(line for line in lines if line["model"] == "beta")
        assert beta["rating"] == beta["lower"] == beta["upper"] == 1234.5


def test_the_seed_and_the_level_reach_the_intervals(small: Path) -> None:
    once, again, other = (
        rate(small, "--method", "elo", "--seed", seed, "--rounds", "40") for seed in "113"
    )
    assert once == again
    assert once != other
    narrow, wide = (rate(small, "--level", level) for level in ("0.5", "0.99"))
    assert wide[0]["upper"] > narrow[0]["upper"]


def test_tie_policies_give_their_own_ratings(small: Path) -> None:
    policies = ("half", "drop", "drop_bothbad", "davidson")
    ratings = {
        ties: {x["model"]: x["rating"] for x in rate(small, "--ties", ties)} for ties in policies
    }
    assert len({tuple(sorted(r.items())) for r in ratings.values() if r}) == 4


def test_models_that_cannot_be_rated_come_last_without_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL + "hero,alpha,model_a\n")
    last = rate(path)[-1]
    assert (last["model"], last["status"]) == ("hero", "provisional")
    assert {last[k] for k in ("rating", "lower", "upper", "rank", "rank_low", "rank_high")} == {
        None
    }
    assert rate(path, form="csv").splitlines()[-1] == "hero,,,,,,,1,provisional"
    assert "provisional" in rate(path, form="table").splitlines()[-1]


def test_battles_of_a_model_with_itself_are_left_out_and_counted(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL + "beta,beta,tie\nbeta,beta,model_a\n")
    out, err = io.StringIO(), io.StringIO()
    call_command("rate", str(path), "--format", "json", stdout=out, stderr=err)
    assert "Skipped 2 rows: a model against itself." in err.getvalue()
    assert json.loads(out.getvalue()) == rate(written(tmp_path, SMALL, "plain.csv"))


def test_votes_that_were_not_blind_are_left_out(tmp_path: Path) -> None:
    header, *rows = SMALL.splitlines()
    lines = [f"{header},anony", *(f"{row},true" for row in rows), "beta,alpha,model_a,false"]
    assert rate(written(tmp_path, "\n".join(lines))) == rate(written(tmp_path, SMALL, "all.csv"))


def test_another_arenas_format_is_rated_as_it_is(tmp_path: Path) -> None:
    winners = ("winner_model_a", "winner_model_b", "winner_tie")
    rows = [f"id,model_a,model_b,prompt,response_a,response_b,{','.join(winners)}"]
    for n, (a, b, *won) in enumerate([("x", "y", 1, 0, 0), ("x", "y", 0, 1, 0)] * 2):
        answers = ",".join(['"[""text""]"'] * 3)
        rows.append(f"{n},{a},{b},{answers},{','.join(map(str, won))}")
    lines = rate(written(tmp_path, "\n".join(rows)))
    assert [(line["model"], line["votes"], line["rating"]) for line in lines] == [
        ("x", 4, 1000.0),
        ("y", 4, 1000.0),
    ]


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("alpha,beta,modelA", "winner: 'modelA'"),
        (",beta,tie", "model_a: no name"),
        ("alpha,beta", "2 cells under 3 columns"),
    ],
)
def test_a_row_that_is_no_vote_is_named_by_its_line(
    tmp_path: Path, row: str, complaint: str
) -> None:
    message = refusal(written(tmp_path, f"{SMALL}{row}\n"))
    assert "line 9" in message
    assert complaint in message


@pytest.mark.parametrize("count", ["1.5", "-1", "many"])
def test_a_count_is_a_whole_number(tmp_path: Path, count: str) -> None:
    path = written(tmp_path, f"model_a,model_b,winner,count\na,b,tie,{count}\n")
    assert "line 2: count:" in refusal(path)


def test_only_the_first_of_many_bad_rows_are_shown(tmp_path: Path) -> None:
    message = refusal(written(tmp_path, SMALL + "a,b,nobody\n" * 50))
    assert message.count("nobody") == 5


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "empty"),
        ("a,b,winner\n1,2,tie\n", "no known vote format has these columns: a, b, winner"),
        ("model_a,model_b,winner\n", "no votes"),
        ("model_a,model_b,winner\nx,x,tie\n", "no votes"),
        ('{"model_a": "x"}\n', "no known vote format"),
    ],
)
def test_a_file_without_votes_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    assert complaint in refusal(written(tmp_path, text))


def test_a_broken_json_line_is_named(tmp_path: Path) -> None:
    good = json.dumps({"model_a": "x", "model_b": "y", "winner": "tie"})
    assert "line 2" in refusal(written(tmp_path, f'{good}\n{{"model_a": \n{good}\n', "v.jsonl"))


def test_a_gzip_that_breaks_off_is_refused(tmp_path: Path) -> None:
    v = simulate(draw_population(10), 20_000)
    body = "".join(f"m{a},m{b},tie\n" for a, b in zip(v.first, v.second, strict=True))
    packed = gzip.compress(b"model_a,model_b,winner\n" + body.encode())
    path = tmp_path / "votes.csv.gz"
    path.write_bytes(packed[: len(packed) // 2])
    assert "damaged" in refusal(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--anchor", "beta"), "MODEL=RATING"),
        (("--anchor", "nobody=1000"), "nobody"),
        (("--anchor", "nobody=1000", "--method", "elo"), "nobody"),
        (("--level", "95"), "between 0 and 1"),
        (("--rounds", "0"), "at least 1"),
        (("--method", "elo", "--ties", "drop"), "half a win"),
        (("--method", "elo", "--reweight"), "half a win"),
        (("--method", "style"), "style counts"),
    ],
)
def test_what_cannot_be_done_is_said(small: Path, options: tuple, complaint: str) -> None:
    assert complaint in refusal(small, *options)


def test_a_style_count_that_is_none_names_its_vote(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "model_a,model_b,winner,len_a,len_b\nx,y,tie,3,4\nx,y,model_a,3,many\n",
    )
    assert "vote 2" in refusal(path, "--method", "style")


def test_nobody_asks_the_database(small: Path) -> None:
    # without the marker django_db a single query fails this test
    assert rate(small)
    assert rate(small, "--method", "elo")


def test_ratings_are_those_of_the_engine(tmp_path: Path) -> None:
    v = simulate(draw_population(6, seed=3), 800)
    words = ("model_a", "model_b", "tie", "both_bad")
    path = written(
        tmp_path,
        "model_a,model_b,winner\n"
        + "".join(
            f"m{a},m{b},{words[o]}\n" for a, b, o in zip(v.first, v.second, v.outcome, strict=True)
        ),
    )
    counts = vote_files.PairCounts.from_votes(
        (f"m{a}", f"m{b}", vote_files.Outcome(o))
        for a, b, o in zip(v.first, v.second, v.outcome, strict=True)
    )
    fit = fit_bt(counts, ties="davidson")
    expected = dict(zip(fit.models, fit.ratings.round(4), strict=True))
    lines = rate(path, "--ties", "davidson")
    assert {line["model"]: line["rating"] for line in lines} == pytest.approx(expected)
    elo = online_elo(v.first, v.second, v.outcome, 6)
    by_elo = {line["model"]: line["rating"] for line in rate(path, "--method", "elo")}
    assert [by_elo[f"m{i}"] for i in range(6)] == pytest.approx(elo.tolist(), abs=1e-3)
