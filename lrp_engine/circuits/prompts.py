"""Read prompt files, CSV or JSONL with clean and corrupted prompts and answers, as pairs."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import torch

from ..boundary.tables import read_csv, read_json_lines
from ..boundary.user_code import calling
from ..errors import InputError
from .pairs import Metric, Pairs, logit_difference

Row = Mapping[str, object]
Tokenizer = Callable[..., Sequence[int]]
MetricOf = Callable[[torch.Tensor, torch.Tensor | None], Metric]

# Accepted column names, ours first.
_CLEAN = ("clean",)
_CORRUPT = ("corrupt", "corrupted")
_ANSWER = ("answer", "label", "correct_idx", "correct")
_WRONG = ("wrong", "incorrect_idx", "incorrect")
_INDICES = ("correct_idx", "incorrect_idx")


@dataclass(frozen=True)
class Prompt:
    """One pair as token ids; `wrong` is None where only the answer is named."""

    clean: tuple[int, ...]
    corrupt: tuple[int, ...]
    answer: int
    wrong: int | None


def read_prompts(path: str | Path, tokenizer: Tokenizer | None = None) -> list[Prompt]:
    """Read prompt pairs from a .csv (with a header) or .jsonl file.

    Columns: `clean`, `corrupt` (or `corrupted`), `answer` (or `label`, `correct_idx`), and
    `wrong` (or `incorrect_idx`); a label may be a list [answer, wrong]. Prompts are text or lists
    of words for the tokenizer, or lists of token ids; answers are token ids or one token's text.
    With a tokenizer, whatever is text goes through it: " 7" and "True" are words. The columns
    `correct_idx` and `incorrect_idx`, and a `label` [id, id], hold ids. Without a tokenizer, text
    has to spell token ids, as a CSV file writes them.

    Args:
        path: the file.
        tokenizer: maps a text, or a list of words, to token ids. Not needed for token ids.

    Raises:
        InputError: a column is missing, or a pair's prompts differ in length; names the prompt.
    """
    path = Path(path)
    rows = _read_rows(path)
    if not rows:
        raise InputError(f"{path} holds no prompts")
    return [_prompt(row, f"{path}, prompt {i}", tokenizer) for i, row in enumerate(rows)]


def _read_rows(path: Path) -> Sequence[Row]:
    if path.suffix == ".csv":
        return read_csv(path)
    if path.suffix == ".jsonl":
        return read_json_lines(path)
    raise InputError(f"{path}: prompts are read from .csv or .jsonl files")


def by_length(
    prompts: Sequence[Prompt], metric: MetricOf | None = None, *, argument: str = "input_ids"
) -> list[Pairs]:
    """Batch prompts of equal length, the largest batch first.

    Args:
        prompts: as `read_prompts` gives them.
        metric: `metric(answers, wrongs)` makes the metric of a batch from token ids, (batch,).
            Default: the logit difference at the last position, or the answer's logit alone where
            no wrong answer is named.
        argument: name of the model's argument that takes the token ids.
    """
    groups: dict[tuple[int, bool], list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        groups[len(prompt.clean), prompt.wrong is None].append(prompt)
    return [
        _pairs(group, metric or make_default_metric, argument)
        for group in sorted(groups.values(), key=len, reverse=True)
    ]


def make_default_metric(answers: torch.Tensor, wrongs: torch.Tensor | None) -> Metric:
    """Make the metric logit(answer) - logit(wrong), or logit(answer), at the last position.

    Args:
        answers: token ids, (batch,).
        wrongs: token ids, (batch,), or None.
    """
    if wrongs is not None:
        return logit_difference(answers, wrongs)
    return lambda logits: logits[torch.arange(len(answers)), -1, answers.to(logits.device)]


def _pairs(group: Sequence[Prompt], metric: MetricOf, argument: str) -> Pairs:
    wrongs = [p.wrong for p in group if p.wrong is not None]
    answers = torch.tensor([p.answer for p in group])
    with calling("making the metric"):
        made = metric(answers, torch.tensor(wrongs) if wrongs else None)
    return Pairs(
        {argument: torch.tensor([p.clean for p in group])},
        {argument: torch.tensor([p.corrupt for p in group])},
        made,
    )


def _prompt(row: Row, where: str, tokenizer: Tokenizer | None) -> Prompt:
    clean = _ids(_column(row, _CLEAN, where), where, tokenizer)
    corrupt = _ids(_column(row, _CORRUPT, where), where, tokenizer)
    if len(clean) != len(corrupt):
        raise InputError(
            f"{where}: {len(clean)} clean and {len(corrupt)} corrupted tokens; patching needs"
            " prompts of equal length"
        )
    row = _with_ids(row)
    answer, wrong = _column(row, _ANSWER, where), _optional(row, _WRONG)
    if isinstance(answer, str) and tokenizer is None:
        answer = _literal(answer)
    if isinstance(answer, (list, tuple)) and len(answer) == 2 and wrong is None:
        answer, wrong = answer
    return Prompt(
        tuple(clean),
        tuple(corrupt),
        _one(answer, where, tokenizer),
        None if wrong is None else _one(wrong, where, tokenizer),
    )


def _with_ids(row: Row) -> Row:
    """Read as ids what is ids by its column: EAP-IG's `correct_idx`, and a `label` [id, id]."""
    found = {name: _literal(row[name]) for name in _INDICES if name in row}
    label = _literal(row.get("label"))
    if isinstance(label, (list, tuple)) and len(label) == 2 and all(map(_is_id, label)):
        found["label"] = label
    return {**row, **found}


def _optional(row: Row, names: Sequence[str]) -> object:
    return next((row[n] for n in names if row.get(n) not in (None, "")), None)


def _column(row: Row, names: Sequence[str], where: str) -> object:
    found = _optional(row, names)
    if found is None:
        raise InputError(f"{where} has no {' or '.join(names)}; its columns: {', '.join(row)}")
    return found


def _literal(value: object) -> object:
    """Parse numbers and lists written as text, as in a CSV file of token ids."""
    if not isinstance(value, str) or not value.strip():
        return value
    try:
        found: object = ast.literal_eval(value.strip())
    except (ValueError, SyntaxError):
        return value
    return found if isinstance(found, (int, list, tuple)) else value


def _is_id(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _ids(value: object, where: str, tokenizer: Tokenizer | None) -> list[int]:
    if isinstance(value, str) and tokenizer is None:
        value = _literal(value)
    if isinstance(value, (list, tuple)) and value and all(map(_is_id, value)):
        return list(value)
    if tokenizer is None:
        raise InputError(
            f"{where}: {value!r} is no list of token ids: a tokenizer is needed for text"
        )
    words = value if isinstance(value, (list, tuple)) else [value]
    if not words or not all(isinstance(word, str) for word in words):
        raise InputError(f"{where}: {value!r} is neither text, nor words, nor token ids")
    with calling(f"{where}: the tokenizer"):
        return [int(i) for i in tokenizer(value)]


def _one(value: object, where: str, tokenizer: Tokenizer | None) -> int:
    if isinstance(value, str) and tokenizer is None:
        value = _literal(value)
    if _is_id(value):
        return value
    if tokenizer is None:
        raise InputError(f"{where}: the answer {value!r} is no token id, and there is no tokenizer")
    found = _ids(value, where, tokenizer)
    if len(found) != 1:
        raise InputError(f"{where}: the answer {value!r} is {len(found)} tokens, not one")
    return found[0]
