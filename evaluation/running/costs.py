"""What a run would ask and cost, before it is started. An estimate: nobody knows what is answered.

Tokens of prompts by their characters. Answers: at the least what earlier runs of the task came to,
at the most what each request allows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from arena.models import Contestant
from evaluation import judging
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.definitions.definition import from_json
from evaluation.definitions.problems import Unrenderable
from evaluation.definitions.prompts import Prompt
from evaluation.models import Item, Sample, TaskDefinition
from evaluation.refusals import Refused
from evaluation.running.following import OF_JUDGE
from evaluation.running.limits import CHARS_PER_TOKEN, estimated_tokens
from evaluation.running.runs import find_dataset, has_prices, rendered

EARLIER = 200  # answers of earlier runs that the length of the next is taken from
ASSUMED = 0.25  # of the tokens allowed, where no run came before


@dataclass(frozen=True, slots=True)
class Asked:
    """What one model would be asked. USD; None where its price is not known."""

    name: str
    requests: int
    prompt_tokens: int
    expected_tokens: int
    most_tokens: int
    low: Decimal | None
    high: Decimal | None


@dataclass(frozen=True, slots=True)
class Estimate:
    contestant: Asked
    judge: Asked | None = None

    @property
    def _both(self) -> list[Asked]:
        return [self.contestant, *([self.judge] if self.judge else [])]

    @property
    def requests(self) -> int:
        return sum(one.requests for one in self._both)

    @property
    def prompt_tokens(self) -> int:
        return sum(one.prompt_tokens for one in self._both)

    @property
    def expected_tokens(self) -> int:
        """Of the answers."""
        return sum(one.expected_tokens for one in self._both)

    @property
    def most_tokens(self) -> int:
        """Of the answers, if each were as long as it may be."""
        return sum(one.most_tokens for one in self._both)

    @property
    def low(self) -> Decimal | None:
        return _sum(one.low for one in self._both)

    @property
    def high(self) -> Decimal | None:
        return _sum(one.high for one in self._both)

    def __str__(self) -> str:
        cost = "cost unknown: no prices"
        if self.low is not None and self.high is not None:
            cost = f"{self.low:.4f} to {self.high:.4f} USD"
        return (
            f"{self.requests} requests, about {self.prompt_tokens} tokens of prompts, "
            f"{self.expected_tokens} to {self.most_tokens} of answers: {cost}"
        )


def estimate(
    *,
    task: TaskDefinition,
    contestant: Contestant,
    judge: Contestant | None = None,
    limit: int | None = None,
) -> Estimate:
    """Raises Refused where the task cannot be rendered, for example without its dataset."""
    definition = from_json(task.spec)
    chosen = rendered(definition, find_dataset(definition), limit)
    judged = judging.is_judged(definition)
    try:
        turns = [judging.turns_of(definition, item.fields) if judged else 1 for item, _ in chosen]
    except Unrenderable as error:
        raise Refused(f"{definition.task}: {error}") from None
    most = definition.generation.max_gen_toks
    expected = _expected(task, contestant, most, of_judge=False)
    prompts = 0
    for (_, prompt), count in zip(chosen, turns, strict=True):
        first = estimated_tokens(sum(len(message["content"]) for message in prompt.messages))
        # Each further turn sends all that was said before it.
        prompts += first * count * (count + 1) // 2 + expected * count * (count - 1) // 2
    requests = sum(turns) * definition.epochs
    of_contestant = _asked(contestant, requests, prompts * definition.epochs, expected, most)
    if judge is None or not judged or not chosen:
        return Estimate(of_contestant)
    judgements = definition.epochs * sum(
        judging.samples_of(definition, item.fields) - count
        for (item, _), count in zip(chosen, turns, strict=True)
    )
    most = judging.generation(definition).max_gen_toks
    read = _judgement_tokens(definition, chosen, expected) * judgements // len(chosen)
    return Estimate(
        of_contestant,
        _asked(judge, judgements, read, _expected(task, judge, most, of_judge=True), most),
    )


def _judgement_tokens(
    definition: Definition, chosen: list[tuple[Item, Prompt]], expected: int
) -> int:
    """Of the first judgement of each item, with answers as long as expected."""
    answer = "x" * expected * CHARS_PER_TOKEN
    characters = 0
    for item, prompt in chosen:
        question = judging.question(list(prompt.messages))
        messages = judging.ask_judge(
            definition,
            item.fields,
            judging.judgements(definition, 1)[0],
            judging.Conversation([question], [answer], [answer]),
            seed="",
        )
        characters += sum(len(message["content"]) for message in messages)
    return estimated_tokens(characters)


def _expected(task: TaskDefinition, one: Contestant, most: int, *, of_judge: bool) -> int:
    """Tokens of an answer: this model's to the task before, else any model's, else assumed."""
    answers = Sample.objects.filter(
        OF_JUDGE if of_judge else ~OF_JUDGE,
        run__task__slug=task.slug,
        state=Sample.State.DONE,
        completion_tokens__isnull=False,
    ).order_by("-id")
    own = answers.filter(run__judge=one) if of_judge else answers.filter(run__contestant=one)
    for earlier in (own, answers):
        newest = earlier.values_list("completion_tokens", flat=True)[:EARLIER]
        lengths = [tokens for tokens in newest if tokens is not None]
        if lengths:
            return min(most, -(-sum(lengths) // len(lengths)))
    return max(1, int(most * ASSUMED))


def _asked(one: Contestant, requests: int, prompt_tokens: int, expected: int, most: int) -> Asked:
    def cost(answer_tokens: int) -> Decimal | None:
        if not has_prices(one):
            return None
        assert one.price_input is not None
        assert one.price_output is not None
        millionths = prompt_tokens * one.price_input + answer_tokens * one.price_output
        return (millionths / 1_000_000).quantize(Decimal("0.000001"))

    return Asked(
        name=one.name,
        requests=requests,
        prompt_tokens=prompt_tokens,
        expected_tokens=requests * expected,
        most_tokens=requests * most,
        low=cost(requests * expected),
        high=cost(requests * most),
    )


def _sum(costs: Iterable[Decimal | None]) -> Decimal | None:
    """Who is without a price adds nothing; None where nobody has one."""
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if known else None
