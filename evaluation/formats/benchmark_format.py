"""What a benchmark's official files look like, and how they are read into items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from evaluation.formats.items import BadRow, Item, Reading, Unreadable
from evaluation.formats.rows import Row


class Parsed(NamedTuple):
    """One row understood; `id` is None where the benchmark does not name its items."""

    fields: dict[str, Any]
    id: str | None = None


@dataclass(frozen=True)
class BenchmarkFormat:
    """The layout of one benchmark's official distribution.

    `files` gives for each split the pattern of its file names, the first split being the one that
    is evaluated; with `many`, a split is a folder's worth of files (one subject or task each), and
    items are named `<subject>/<number>`. `counts` are the official numbers of rows, to compare an
    import with. `parse` raises Unreadable for a row that is not an item.
    """

    name: str
    title: str
    licence: str
    files: Mapping[str, str]
    rows: Callable[[Path], Iterable[Row | BadRow]]
    parse: Callable[[dict[str, Any], Path], Parsed]
    many: bool = False
    subject: Callable[[Path], str] = field(default=lambda path: path.stem)
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def default_split(self) -> str:
        return next(iter(self.files))

    def locate(self, source: Path, split: str) -> list[Path]:
        """The files of a split: `source` itself, or what of it bears the official names.

        Raises Unreadable where there is none, or where there are several and one was expected.
        """
        if source.is_file():
            return [source]
        if split not in self.files:
            known = ", ".join(self.files)
            raise Unreadable(f"{self.name} has no split {split!r}; there are: {known}")
        pattern = self.files[split]
        # Names are compared case by case, so that an order of files is the same everywhere.
        found = sorted((path for path in source.rglob(pattern) if path.is_file()), key=str)
        if not found:
            raise Unreadable(f"no {pattern} in {source.name or source}")
        if len(found) > 1 and not self.many:
            names = ", ".join(str(path.relative_to(source)) for path in found[:5])
            raise Unreadable(f"{split!r} could be any of {names}: name the file")
        return found

    def read(self, source: Path, *, split: str | None = None) -> Iterator[Reading]:
        """The items of a file, or of a folder's files for one split. Raises Unreadable as `locate`.

        A file that breaks off costs its rest, as a bad row, and not what was read of it.
        """
        for path in self.locate(source, split or self.default_split):
            prefix = f"{self.subject(path)}/" if self.many else ""
            yield from self._read_file(path, prefix)

    def _read_file(self, path: Path, prefix: str) -> Iterator[Reading]:
        line = 0
        try:
            for row in self.rows(path):
                line = row.line
                if isinstance(row, BadRow):
                    yield BadRow(row.line, row.reason, path.name)
                    continue
                try:
                    parsed = self.parse(row.fields, path)
                except Unreadable as error:
                    yield BadRow(row.line, str(error), path.name)
                    continue
                name = parsed.id if parsed.id is not None else f"{prefix}{row.index}"
                yield Item(name, parsed.fields, row.line, path.name)
        except Unreadable as error:  # of the file, not of a row
            after = f"after line {line}: " if line else ""
            yield BadRow(0, f"{after}{error}", path.name)
