"""Words that must not reach a browser before the vote, and the search for them.

Every contestant carries canaries: wherever an administrator or a provider may have put something
that tells it from another, stands a word that occurs nowhere else.
"""

from __future__ import annotations

import re

from tests.scripted_backend import LABELLED_USAGE

WORD = "CANARY"
# Of each price two digits are the contestant's own, the rest is this.
PRICE = "7315"
# Which models there are is public, and the same on every page: see `model_lists`.
_MODEL_LIST = re.compile(rb'<details class="contestants">.*?</details>', re.DOTALL)

_PRICE = re.compile(rb"\.%b(?!\d)" % PRICE.encode())  # a moment has six digits after its point
# Numbers of their own: random keys in cookies hold any five digits now and then.
_TOKENS = re.compile(
    rb"(?<!\w)(?:%b)(?!\w)" % b"|".join(b"%d,?%03d" % divmod(n, 1000) for n in LABELLED_USAGE)
)

# What gives each contestant its canaries, in a running site; {port} is the backend's.
PLANT = f"""
from decimal import Decimal
from arena.models import Contestant, Endpoint
for number, contestant in enumerate(Contestant.objects.select_related("endpoint"), 11):
    tag = f"{WORD}-{{number}}"
    contestant.organisation = f"{{tag}} Lab"
    contestant.aliases = f"{{tag}} alias"
    contestant.description = f"{{tag}} description"
    contestant.licence = f"{{tag}} licence"
    contestant.licence_url = contestant.url = f"https://{{tag}}.example/".lower()
    contestant.parameters = f"{{tag}} B"
    contestant.quantisation = f"{{tag}} Q4"
    contestant.knowledge_cutoff = tag
    contestant.price_input = Decimal(f"{{number}}.{PRICE}")
    contestant.price_output = Decimal(f"{{number + 50}}.{PRICE}")
    contestant.upstream_model += f"#{{tag}}"
    contestant.save()
    endpoint = contestant.endpoint
    endpoint.name = f"{{tag}} endpoint"
    endpoint.base_url += f"/{{tag}}/v1"
    endpoint.set_api_key(f"sk-{{tag}}-0123456789")
    endpoint.save()
"""


def search(data: bytes, *, also: tuple[str, ...] = ()) -> list[str]:
    """The canaries in what a browser received, with what stands around it."""
    data = _MODEL_LIST.sub(b"", data).lower()
    places = [data.find(needle.lower().encode()) for needle in (WORD, *also)]
    for numbers in (_PRICE, _TOKENS):
        places += [number.start() for number in numbers.finditer(data)]
    return [data[max(0, at - 60) : at + 80].decode(errors="replace") for at in places if at >= 0]


def model_lists(data: bytes) -> list[bytes]:
    """The public lists of all models in these pages."""
    return _MODEL_LIST.findall(data)
