"""A GGUF file made smaller on this machine, by llama.cpp's own quantiser.

`python -m arena.local_models.quantise SOURCE TARGET TYPE FALLBACK [NICENESS]`

Every matrix of the source except the token embedding and the output is dequantised and quantised
again as TYPE, or as FALLBACK where TYPE's blocks do not divide its rows (K-quants come in blocks
of 256 weights; SmolLM2's rows are 576 and 1536 wide). Embeddings stay as they are, as in
llama.cpp's own mixtures, where they have a finer type than the rest.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import gguf
import numpy as np
import xllamacpp

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEPT = ("token_embd.", "output.")
# Set by the writer; true of the source only.
NOT_COPIED = ("general.architecture", "general.file_type")


def quantise(source: Path, target: Path, *, type_name: str, fallback: str) -> None:
    """Write `target`: whole, or not at all where it fails. Raises ValueError."""
    wanted = gguf.GGMLQuantizationType[type_name]
    other = gguf.GGMLQuantizationType[fallback]
    chunk = _llama_quantiser()
    reader = gguf.GGUFReader(source)
    architecture = reader.get_field("general.architecture")
    if architecture is None:
        raise ValueError(f"{source.name} names no architecture")
    writer = gguf.GGUFWriter(target, architecture.contents())
    writer.data_alignment = reader.alignment
    _copy_metadata(reader, writer)
    plan = []
    for tensor in reader.tensors:
        kind = tensor.tensor_type
        if len(tensor.shape) == 2 and not tensor.name.startswith(KEPT):
            kind = wanted if _divides(wanted, int(tensor.shape[0])) else other
        plan.append((tensor, kind))
        columns, *rows = (int(n) for n in tensor.shape)
        block, size = gguf.GGML_QUANT_SIZES[kind]
        writer.add_tensor_info(
            tensor.name,
            [*reversed(rows), columns],
            np.dtype(np.float32),  # only says that the shape counts weights, not bytes
            math.prod(rows) * (columns // block * size),
            raw_dtype=kind,
        )
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor, kind in plan:
            if kind == tensor.tensor_type:
                data = tensor.data
            else:
                weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
                data = _quantised(chunk, weights, kind)
            writer.write_tensor_data(data)
        writer.close()
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _divides(kind: gguf.GGMLQuantizationType, columns: int) -> bool:
    return bool(columns % gguf.GGML_QUANT_SIZES[kind][0] == 0)


def _copy_metadata(reader: gguf.GGUFReader, writer: gguf.GGUFWriter) -> None:
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in NOT_COPIED:
            continue
        kind, *inner = field.types
        writer.add_key_value(name, field.contents(), kind, sub_type=inner[-1] if inner else None)


def _llama_quantiser() -> ctypes._NamedFuncPointer:
    """`ggml_quantize_chunk` as the model server's own library exports it (ggml.h)."""
    library = ctypes.CDLL(xllamacpp.xllamacpp.__file__)
    try:
        function = library.ggml_quantize_chunk
    except AttributeError as error:
        raise ValueError("this build of xllamacpp does not export its quantiser") from error
    function.restype = ctypes.c_size_t
    function.argtypes = [
        ctypes.c_int,  # enum ggml_type
        ctypes.c_void_p,  # const float * src
        ctypes.c_void_p,  # void * dst
        ctypes.c_int64,  # start
        ctypes.c_int64,  # nrows
        ctypes.c_int64,  # n_per_row
        ctypes.c_void_p,  # const float * imatrix: none
    ]
    return function


def _quantised(
    chunk: ctypes._NamedFuncPointer,
    weights: NDArray[np.float32],
    kind: gguf.GGMLQuantizationType,
) -> NDArray[np.uint8]:
    """(rows, columns) float32 → (rows, bytes of a row) uint8."""
    weights = np.ascontiguousarray(weights, np.float32)
    rows, columns = weights.shape
    block, size = gguf.GGML_QUANT_SIZES[kind]
    out = np.empty((rows, columns // block * size), np.uint8)
    written = chunk(int(kind), weights.ctypes.data, out.ctypes.data, 0, rows, columns, None)
    if written != out.nbytes:
        raise ValueError(f"quantising to {kind.name} wrote {written} of {out.nbytes} bytes")
    return out


def main() -> None:
    source, target, type_name, fallback, *niceness = sys.argv[1:]
    if niceness and hasattr(os, "nice"):
        os.nice(int(niceness[0]))
    quantise(Path(source), Path(target), type_name=type_name, fallback=fallback)


if __name__ == "__main__":
    main()
