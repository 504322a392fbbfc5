"""Which models are one model in several quantisations."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from arena import siblings
from arena.local_models.catalogue import PROFILES


@dataclass
class Model:
    name: str
    quantisation: str = ""


@pytest.mark.parametrize(
    ("quantisation", "bits"),
    [
        ("Q4_K_M", 4), ("IQ2_XS", 2), ("Q8_0", 8), ("TQ1_0", 1), ("BF16", 16), ("F32", 32),
        ("FP8-dynamic", 8), ("int8", 8), ("NF4", 4), ("MXFP4", 4), ("W4A16", 4), ("AWQ-4bit", 4),
        ("GPTQ-Int4", 4), ("8-bit", 8), ("AWQ", None), ("1.58bit", None), ("", None),
    ],
)  # fmt: skip
def test_the_bits_are_those_of_the_name(quantisation, bits):
    assert siblings.bits(quantisation) == bits


def test_siblings_share_what_is_left_of_their_names():
    found = siblings.families(
        [
            Model("X 7B Q2_K", "Q2_K"),
            Model("x-7b-q8_0", "Q8_0"),
            Model("X-7B"),
            Model("X 7B (Q4_K_M)", "Q4_K_M"),
            Model("X 70B Q4_K_M", "Q4_K_M"),
            Model("Y"),
            Model("y"),
        ]
    )
    assert [[model.name for model in family] for family in found] == [
        ["X-7B", "x-7b-q8_0", "X 7B (Q4_K_M)", "X 7B Q2_K"]
    ]


@pytest.mark.parametrize(
    ("name", "quantisation", "shown"),
    [("X 7B (Q4_K_M)", "Q4_K_M", "X 7B"), ("X-7B-Q8_0", "Q8_0", "X-7B"), ("X-7B", "", "X-7B")],
)
def test_a_family_is_called_what_a_member_is_without_its_quantisation(name, quantisation, shown):
    assert siblings.shown_name(name, quantisation) == shown


def test_the_local_models_are_families_of_their_sizes():
    cards = [model.card for model in PROFILES["full"]]
    found = siblings.families([Model(card["name"], card["quantisation"]) for card in cards])
    assert [[model.quantisation for model in family] for family in found] == [
        ["Q4_K_M", "Q3_K_S", "Q2_K"],
        ["Q4_1", "Q4_0", "Q2_K"],
    ]
