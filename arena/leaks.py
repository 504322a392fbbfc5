"""Does an answer say who wrote it? Pure.

Two things count. That a text names its own model or maker; and that it introduces itself as
somebody whom people know ("I am ChatGPT", "a model trained by Anthropic"), true or not: a reader
who believes it votes no longer blind. To speak of another model is neither. What the person who
asked has named first does not count: it tells them nothing.

A name that is an ordinary word as well ("Small", "Claude", "Apple") counts only where a text
introduces itself by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

# Nothing else is called so.
UNMISTAKABLE = (
    "ChatGPT", "InstructGPT", "OpenAI", "Anthropic", "DeepMind", "DeepSeek", "Qwen", "Mixtral",
    "ChatGLM",
    "WizardLM", "Nemotron", "EleutherAI", "Zhipu", "Baichuan", "InternLM", "Pythia-Chat",
    "StableLM", "OpenAssistant", "LAION", "LMSYS", "MosaicML", "Mistral AI", "Meta AI", "xAI",
    "Google AI", "Cohere AI", "Hugging Face", "Stability AI", "Moonshot AI", "GPT-2", "GPT-3",
    "GPT-3.5", "GPT-4", "GPT-4o", "GPT-5", "GPT-J", "GPT-NeoX", "Ernie Bot", "Tongyi Qianwen",
)  # fmt: skip
# Other things are called so, too.
AMBIGUOUS = (
    "Claude", "Gemini", "Gemma", "Bard", "PaLM", "Llama", "Mistral", "Grok", "Copilot", "Bing",
    "Falcon", "Vicuna", "Alpaca", "Koala", "Dolly", "Phi", "Yi", "Kimi", "Ernie", "Command R",
    "Hermes", "Orca", "Zephyr", "Granite", "Jamba", "Nova", "Titan", "Jurassic", "MiniMax", "Pi",
    "GLM", "GPT", "Doubao", "Hunyuan", "SmolLM", "OLMo", "Solar", "LaMDA", "Siri", "Alexa",
    "Google", "Meta", "Facebook", "Microsoft", "Apple", "Amazon", "Nvidia", "IBM", "Baidu",
    "Alibaba", "Alibaba Cloud", "Tencent", "ByteDance", "Cohere", "Databricks", "Salesforce",
    "AI21", "Inflection", "Reka", "Perplexity", "Samsung", "Huawei", "Stanford",
)  # fmt: skip

_LATIN = "A-Za-z0-9"
_APART, _JOINED = re.compile(r"[\s_–-]+"), r"[\s_–-]*"
# What may stand between "I am" and the name.
_FILLING = (
    r"(?:(?:an?|the|called|named|known|as|your|large|language|ai|a\.i\.|model|assistant|chatbot|"
    r"bot|virtual|friendly|helpful|open|source|artificial|intelligence|based|on|from|by|created|"
    r"trained|developed|made|built|designed|and|version|of|just|simply|actually)[\s,*_\"“-]+){0,12}"
)
_INTRODUCED = (
    r"(?:\bi\s+am|\bi[’']m|\bmy\s+name\s+is|\bmy\s+name[’']s|\bcall\s+me|\bi\s+go\s+by|"
    r"\bje\s+suis|\bje\s+m[’']appelle|\bich\s+bin|\bich\s+heiße|\b(?:yo\s+)?soy|\bme\s+llamo|"
    r"\beu\s+sou|\bsono|\bmi\s+chiamo|\bik\s+ben|\bменя\s+зовут|我是|我叫|私は)"
    r"[\s:,*_\"“—-]*" + _FILLING
)
_MADE = (
    r"(?:\bi\s+am|\bi\s+was|\bi\s+have\s+been|\bi[’']m|\bi[’']ve\s+been|\bas\s+an?|\bme)\b"
    r"[^.!?\n]{0,120}?\b(?:created|developed|trained|made|built|designed|released|powered|"
    r"provided|fine-?tuned|maintained|operated)\s+(?:and\s+\w+\s+)?(?:by|at)\s+"
    r"(?:the\s+|a\s+team\s+(?:at|from)\s+|(?:\w+\s+)?researchers\s+(?:at|from)\s+|"
    r"(?:\w+\s+)?engineers\s+(?:at|from)\s+)?"
)
_SPEAKING_AS = r"\bas\s+(?:the\s+)?"
_THEN_I = r",?\s+i\b"


@dataclass(frozen=True, slots=True)
class Identity:
    """What one contestant is called, and its maker."""

    name: str
    organisation: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in (self.name, *self.aliases, self.organisation) if name)


@dataclass(frozen=True, slots=True)
class Said:
    """One turn: the prompt, and what each side, by its slot, answered."""

    prompt: str
    answers: Mapping[str, str]


class Scanner:
    """Knows everybody who might be named. Compile once for many answers."""

    def __init__(self, everybody: Iterable[Identity]) -> None:
        known = {*UNMISTAKABLE, *AMBIGUOUS}
        for identity in everybody:
            known.update(identity.all)
        name = f"(?P<name>{_any_of(known)})"
        self._introduced = [
            re.compile(pattern, re.IGNORECASE)
            for pattern in (_INTRODUCED + name, _MADE + name, _SPEAKING_AS + name + _THEN_I)
        ]

    def leaks(self, turns: Sequence[Said], sides: Mapping[str, Identity]) -> bool:
        """Whether one of the sides has said who it is, in any turn."""
        asked = ""
        for turn in turns:
            asked += f"{turn.prompt}\n"
            for slot, text in turn.answers.items():
                if self.named(text, sides[slot], asked):
                    return True
        return False

    def named(self, text: str, own: Identity, asked: str = "") -> str | None:
        """The name by which an answer gives its writer away; None if it does not.

        `asked` is what the person had written until then.
        """
        for pattern in (_telling(own), *self._introduced):
            if pattern is None:
                continue
            for found in pattern.finditer(text):
                name = found["name"]
                if not re.search(_pattern_of(name), asked, re.IGNORECASE):
                    return name
        return None


@lru_cache(maxsize=2_000)
def _telling(own: Identity) -> re.Pattern[str] | None:
    """What gives this contestant away wherever it is said."""
    described = " ".join(own.all)
    names = {name for name in own.all if _is_telling(name)}
    names |= {name for name in UNMISTAKABLE if _holds(described, name)}
    return re.compile(f"(?P<name>{_any_of(names)})", re.IGNORECASE) if names else None


def _is_telling(name: str) -> bool:
    """Whether a name is no ordinary word: it has several parts, a digit, or a capital inside."""
    return len(name) > 3 and (
        not name.isalpha() or (any(letter.isupper() for letter in name[1:]) and not name.isupper())
    )


def _holds(text: str, name: str) -> bool:
    return re.search(_pattern_of(name), text, re.IGNORECASE) is not None


def _any_of(names: Iterable[str]) -> str:
    """The longest first: of "GPT" and "GPT-4" the text may mean the second."""
    return "|".join(_pattern_of(name) for name in sorted(names, key=lambda n: (-len(n), n)))


def _pattern_of(name: str) -> str:
    """The name as a whole word, with or without what separates its parts."""
    parts = [re.escape(part) for part in _APART.split(name.strip()) if part]
    # No \\b: Chinese and Japanese have no spaces before a name.
    return rf"(?<![{_LATIN}]){_JOINED.join(parts)}(?![{_LATIN}])"
