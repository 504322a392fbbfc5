"""Variants made on this machine by llama.cpp's quantiser, on a model of two matrices."""

from __future__ import annotations

import numpy as np
import pytest

gguf = pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")

from arena.local_models.catalogue import own_model  # noqa: E402
from arena.local_models.quantise import quantise  # noqa: E402

Kind = gguf.GGMLQuantizationType


@pytest.fixture
def source(tmp_path):
    """One matrix with rows of 256, one with rows of 96, an embedding and a vector."""
    path = tmp_path / "tiny.Q8_0.gguf"
    random = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Tiny")
    writer.add_license("apache-2.0")
    writer.add_array("tokenizer.ggml.tokens", ["<s>", "é", "🙂"])
    writer.add_float32("llama.rope.freq_base", 100000.0)
    for name, shape in [
        ("token_embd.weight", (8, 96)),
        ("blk.0.ffn_down.weight", (4, 256)),
        ("blk.0.ffn_up.weight", (6, 96)),
    ]:
        weights = random.normal(size=shape).astype(np.float32)
        writer.add_tensor(name, gguf.quants.quantize(weights, Kind.Q8_0), raw_dtype=Kind.Q8_0)
    writer.add_tensor("blk.0.attn_norm.weight", np.ones(96, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def tensors(path):
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


def weights_of(tensor):
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type)


def test_rows_take_the_type_when_its_blocks_fit_and_the_fallback_when_not(source, tmp_path):
    target = tmp_path / "tiny.Q2_K.gguf"
    quantise(source, target, type_name="Q2_K", fallback="Q4_0")
    made = tensors(target)
    assert made["blk.0.ffn_down.weight"].tensor_type == Kind.Q2_K
    assert made["blk.0.ffn_up.weight"].tensor_type == Kind.Q4_0
    assert made["token_embd.weight"].tensor_type == Kind.Q8_0
    assert made["blk.0.attn_norm.weight"].tensor_type == Kind.F32
    before = tensors(source)
    assert [list(made[name].shape) for name in before] == [
        list(tensor.shape) for tensor in before.values()
    ]


def test_q4_0_is_what_the_reference_implementation_makes(source, tmp_path):
    target = tmp_path / "tiny.Q4_0.gguf"
    quantise(source, target, type_name="Q4_0", fallback="Q4_0")
    for name in ("blk.0.ffn_down.weight", "blk.0.ffn_up.weight"):
        expected = gguf.quants.quantize(weights_of(tensors(source)[name]), Kind.Q4_0)
        assert np.array_equal(tensors(target)[name].data, expected)


def test_fewer_bits_stay_close_but_less_close(source, tmp_path):
    original = weights_of(tensors(source)["blk.0.ffn_down.weight"])
    errors = []
    for kind in ("Q4_0", "Q2_K"):
        target = tmp_path / f"{kind}.gguf"
        quantise(source, target, type_name=kind, fallback="Q4_0")
        made = weights_of(tensors(target)["blk.0.ffn_down.weight"])
        errors.append(np.mean((made - original) ** 2) / np.mean(original**2))
    assert 0 < errors[0] < 0.02 < errors[1] < 0.2


def test_metadata_is_kept(source, tmp_path):
    target = tmp_path / "tiny.Q4_0.gguf"
    quantise(source, target, type_name="Q4_0", fallback="Q4_0")
    reader = gguf.GGUFReader(target)
    assert reader.get_field("general.architecture").contents() == "llama"
    assert reader.get_field("tokenizer.ggml.tokens").contents() == ["<s>", "é", "🙂"]
    assert reader.get_field("llama.rope.freq_base").contents() == 100000.0


def test_nothing_is_left_where_it_fails(source, tmp_path):
    with pytest.raises(KeyError):
        quantise(source, tmp_path / "target.gguf", type_name="Q9_X", fallback="Q4_0")
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_the_owners_own_file_is_described_by_its_metadata(source):
    model = own_model(source)
    assert model.card["name"] == "tiny.Q8_0"
    assert model.card["licence"] == "apache-2.0"
    assert model.weights.path == source
