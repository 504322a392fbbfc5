"""The catalogue: every download is pinned, every card fits the database."""

from __future__ import annotations

import re

import pytest

from arena.local_models.catalogue import (
    PROFILES,
    Download,
    HubFile,
    LocalModel,
    Variant,
    WheelMembers,
    own_model,
)
from arena.models import Contestant

ALL = list({model.key: model for models in PROFILES.values() for model in models}.values())


def download_of(model: LocalModel) -> Download:
    weights = model.weights
    return weights.origin if isinstance(weights, Variant) else weights


@pytest.mark.parametrize("model", ALL, ids=lambda model: model.key)
def test_downloads_are_pinned_by_size_and_whole_sha256(model):
    download = download_of(model)
    assert re.fullmatch(r"[0-9a-f]{64}", download.sha256)
    assert download.size > 50_000_000
    assert download.sources


@pytest.mark.parametrize("model", ALL, ids=lambda model: model.key)
def test_wheels_are_pinned_to_one_version_and_their_parts_are_in_order(model):
    for source in download_of(model).sources:
        if isinstance(source, HubFile):
            assert source.path.endswith(".gguf")
            continue
        assert isinstance(source, WheelMembers)
        assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", pin) for pin, _ in source.parts)
        if len(source.parts) > 1:
            numbers = [int(re.search(r"part(\d+)\.bin$", member)[1]) for _, member in source.parts]
            assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("model", ALL, ids=lambda model: model.key)
def test_cards_are_valid_contestants(model):
    contestant = Contestant(**model.card, upstream_model=model.key)
    contestant.clean_fields(exclude=["endpoint", "slug"])
    assert contestant.licence == "Apache-2.0"


def test_names_keys_and_files_are_unique():
    assert len({model.name for model in ALL}) == len(ALL)
    files = [model.weights.file for model in ALL]
    assert len(set(files)) == len(files)


def test_each_profile_contains_the_smaller_one():
    small, standard, full = (PROFILES[name] for name in ("small", "standard", "full"))
    assert standard[: len(small)] == small
    assert full[: len(standard)] == standard
    assert len(small) >= 2, "a battle needs two"
    assert PROFILES["none"] == ()


def test_a_file_of_another_format_is_not_a_model(tmp_path):
    path = tmp_path / "notes.gguf"
    path.write_text("not a model")
    with pytest.raises(ValueError, match="not a GGUF file"):
        own_model(path)
