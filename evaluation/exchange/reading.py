"""The files of other programs, told apart by their content."""

from __future__ import annotations

from pathlib import Path

from evaluation.formats import inspect_log, lm_eval, lm_eval_folder, rows
from evaluation.formats.items import Unreadable
from evaluation.formats.measured import MeasuredTask
from evaluation.importing import ImportRefused

LARGEST = 1e12  # score; whatever is larger has not been one


def read(path: Path) -> list[MeasuredTask]:
    """Raises ImportRefused for what is neither program's file."""
    try:
        document = rows.json_document(path)
        if inspect_log.is_log(document):
            found = [inspect_log.read(document, path.name)]
        elif lm_eval.is_results(document):
            found = lm_eval_folder.read(path, document)
        else:
            raise Unreadable(
                "neither a results file of lm-evaluation-harness nor a log of inspect-ai as JSON"
            )
    except Unreadable as error:
        raise ImportRefused(f"{path.name}: {error}") from None
    found = [one for one in found if one.values]
    if not found:
        raise ImportRefused(f"{path.name} holds no score")
    for value in (value for one in found for value in one.values):
        if abs(value.value) > LARGEST:
            raise ImportRefused(f"{path.name}: {value.value:g} is no score of {value.metric}")
    return found


def is_results_file(path: Path) -> bool:
    """Whether a file in a folder is worth reading: by its content, and quickly refused by it."""
    try:
        document = rows.json_document(path)
    except Unreadable:
        return path.name.startswith("results")  # so that a damaged one is named
    return lm_eval.is_results(document) or inspect_log.is_log(document)
