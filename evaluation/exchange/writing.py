"""Samples of other programs as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evaluation.formats.measured import MeasuredSample
from evaluation.models import Item, Run, Sample, Score
from evaluation.running.runs import WRITE_BATCH
from evaluation.scorers import Flag, Response
from evaluation.scorers.score import flags_of


class Writer:
    """Samples in batches: their items where these are new, their rows, their scores."""

    def __init__(self, run: Run, scorer: str, renamed: dict[str, str], new_items: bool) -> None:
        self._run = run
        self._scorer = scorer
        self._renamed = renamed
        self._new_items = new_items
        self._items: dict[str, int] = (
            {} if new_items else dict(run.dataset.items.values_list("hash", "pk"))
        )
        self._rows: dict[tuple[str, int], int] = {}

    def write(self, batch: Sequence[MeasuredSample]) -> None:
        if self._new_items:
            self._write_items(batch)
        first: dict[
            tuple[str, int], MeasuredSample
        ] = {}  # of each item and epoch: other lines are other filters' verdicts on it
        for sample in batch:
            if (sample.hash, sample.epoch) not in self._rows:
                first.setdefault((sample.hash, sample.epoch), sample)
        made = [row for sample in first.values() for row in self._sample_rows(sample)]
        Sample.objects.bulk_create([row for _, row in made], batch_size=WRITE_BATCH)
        self._rows |= {key: row.pk for key, row in made}
        Score.objects.bulk_create(
            [
                Score(
                    sample_id=self._rows[sample.hash, sample.epoch],
                    scorer=self._scorer,
                    metric=self._renamed.get(verdict.metric, verdict.metric)[:120],
                    value=verdict.value,
                    answer=verdict.answer,
                    flags=sorted(flags_in(sample, verdict.unparsed)),
                )
                for sample in batch
                for verdict in sample.verdicts
            ],
            batch_size=WRITE_BATCH,
        )

    def _write_items(self, batch: Sequence[MeasuredSample]) -> None:
        new: dict[str, MeasuredSample] = {}
        for sample in batch:
            if sample.hash not in self._items:
                new.setdefault(sample.hash, sample)
        made = [
            Item(
                dataset=self._run.dataset,
                position=len(self._items) + place,
                external_id=sample.id,
                hash=key,
                fields=sample.fields,
            )
            for place, (key, sample) in enumerate(new.items())
        ]
        Item.objects.bulk_create(made, batch_size=WRITE_BATCH)
        self._items |= {item.hash: item.pk for item in made}

    def _sample_rows(self, sample: MeasuredSample) -> Iterator[tuple[tuple[str, int], Sample]]:
        texts = sample.responses or ("",)
        reasons = sample.finish_reasons or ("",) * len(texts)
        for epoch, (text, reason) in enumerate(zip(texts, reasons, strict=True), sample.epoch):
            yield (
                (sample.hash, epoch),
                Sample(
                    run=self._run,
                    item_id=self._items[sample.hash],
                    epoch=epoch,
                    state=Sample.State.ERROR if sample.error else Sample.State.DONE,
                    messages=list(sample.messages),
                    response=text,
                    finish_reason=reason,
                    prompt_tokens=sample.prompt_tokens,
                    completion_tokens=sample.completion_tokens,
                    latency=sample.latency,
                    error_kind="elsewhere" if sample.error else "",
                    error_detail=sample.error,
                ),
            )


def flags_in(sample: MeasuredSample, unparsed: bool) -> frozenset[Flag]:
    text = sample.responses[0] if sample.responses else ""
    reason = sample.finish_reasons[0] if sample.finish_reasons else ""
    found = flags_of(Response(text, reason or None))
    return found | {Flag.UNPARSED} if unparsed else found
