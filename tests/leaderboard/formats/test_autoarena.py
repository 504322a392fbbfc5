"""AutoArena: head-to-heads that name their models, and numbered ones with the responses beside."""

from __future__ import annotations

import io

import pytest

from leaderboard.formats.records import BadRow
from leaderboard.formats.source import UnknownFormat
from leaderboard.formats.vote_file import open_votes
from tests.leaderboard.formats.files import only_vote

HEAD_TO_HEADS = b"response_a_id,response_b_id,judge_id,winner\n1,3,7,A\n4,2,7,-\n1,9,7,B\n1,2,7,A\n"
RESPONSES = [
    b"model,response_id,prompt,response\nx,1,Hi,Hello\nx,2,Bye,Ciao\n",
    b"model,response_id,prompt,response\ny,3,Hi,Hey\ny,4,Bye,\n",
]


def test_a_downloaded_table_names_models_judge_and_text():
    vote = only_vote(
        "prompt,model_a,model_b,response_a,response_b,judge,winner\nHi,x,y,Hello,Hey,gpt-4o,B\n",
        "autoarena",
    )
    assert (vote.model_a, vote.model_b, vote.winner) == ("x", "y", "model_b")
    assert vote.judge == "gpt-4o"
    assert vote.turn_messages == (("Hi", "Hello", "Hey"),)


def test_numbers_are_looked_up_in_the_tables_of_responses():
    file = open_votes(io.BytesIO(HEAD_TO_HEADS), responses=map(io.BytesIO, RESPONSES))
    assert file.format == "autoarena"
    first, tie, unknown, itself = file
    assert (first.model_a, first.model_b, first.winner) == ("x", "y", "model_a")
    assert first.turn_messages == (("Hi", "Hello", "Hey"),)
    assert (tie.winner, tie.model_a) == ("tie", "y")
    assert tie.turn_messages == (("Bye", "", "Ciao"),)
    assert unknown == BadRow(4, "response_b_id: no response '9'")
    assert itself.reason == "a model against itself"


def test_numbers_alone_ask_for_the_responses():
    with pytest.raises(UnknownFormat, match="give the tables of responses"):
        open_votes(io.BytesIO(HEAD_TO_HEADS))


@pytest.mark.parametrize(
    "responses", [b"prompt,response\nHi,Hello\n", b"model,response_id,prompt,response\n,1,Hi,x\n"]
)
def test_responses_without_model_or_number_are_refused(responses):
    with pytest.raises(UnknownFormat, match="responses"):
        open_votes(io.BytesIO(HEAD_TO_HEADS), responses=[io.BytesIO(responses)])
