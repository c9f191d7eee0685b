"""Bytes of a file: magika, which tells what kind of file it is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from ...boundary.reading import read_ends, read_text
from ...boundary.tables import parse_json
from ...errors import InputError
from ...results.explanation import Explanation
from ..exhibit import DATA, MODELS, Case, Credit, Deletion, Exhibit
from ..file_bytes import FileBytes
from ..telling import arranged

FOLDER: Path = MODELS / "magika"
SNIPPETS = ("query.txt", "readme.txt", "script.txt", "program.txt")
_SHORTEST, _BLOCK = 8, 4096
_SCOPE = "jax2tf_get_logits_/pjit_get_logits_"


@cache
def kinds() -> tuple[str, ...]:
    """Return the names of the kinds of files, in the order of the model's classes."""
    return tuple(parse_json(read_text(FOLDER / "kinds.json"), "kinds.json"))


def make_cases(files: Sequence[Path]) -> list[Case]:
    """Return a question per file, or per snippet if there are no files.

    Raises:
        InputError: A file cannot be read, or is too short for the model.
    """
    if files:
        return [_case(path, path.name) for path in files]
    return [_case(DATA / name, "") for name in SNIPPETS]


def _case(path: Path, name: str) -> Case:
    file = FileBytes(_read(path))

    def tell(explanation: Explanation, held: Tensor) -> Explanation:
        found = arranged(explanation, file.sum_up, "bytes").with_labels(
            axes="batch token",
            words=[file.pieces()],
            class_names=kinds(),
            samples=[name] if name else None,
            unit="logit",
        )
        return found

    said = name or path.stem
    return Case(said, {"bytes": file.tokens()}, _its_answer, tell, file.entries, file.blank)


def _read(path: Path) -> bytes:
    """Return a file without the white space around it; of a long one, the two ends."""
    content = read_ends(path, _BLOCK).strip()
    if len(content) < _SHORTEST:
        raise InputError(f"{path}: the model reads files of {_SHORTEST} bytes and more")
    return content


def _its_answer(logits: Tensor) -> Tensor:
    """Return 1 for the class of the largest logit, else 0: (1, classes)."""
    return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)


def _log_odds(logits: Tensor, coefficient: Tensor) -> float:
    """Return the logit against that of all other classes together."""
    chosen = coefficient > 0
    return float(logits[chosen].sum() - logits[~chosen].logsumexp(0))


FILE_TYPES: Exhibit = Exhibit(
    name="bytes",
    title="Which bytes say what kind of file this is?",
    about=(
        "magika reads the first and the last 1,024 bytes of a file, one by one, and knows 214 kinds"
        " of files. It was never told what a keyword is. `lrp demo --file PATH` shows a file of"
        " yours instead. Bytes of one name are summed; values of single bytes are at the pointer."
        " [fill] is what short files are filled up with."
    ),
    model=lambda: FOLDER / "model.onnx",
    output=f"{_SCOPE}/MagikaV2/Dense_1/AddV2:0",
    source=f"{_SCOPE}/pjit__one_hot_/Cast_1:0",
    preset="attnlrp",
    cases=make_cases,
    deletion=Deletion(
        what="bytes",
        shares=(0.05, 0.15),
        score=_log_odds,
        rival="epsilon_plus",
        named="log-odds",
    ),
    credits=(
        Credit(
            "magika 1.0.3 (standard_v3_3)",
            "Copyright 2024 Google LLC",
            "Apache-2.0",
            (FOLDER / "LICENSE",),
            "https://github.com/google/magika",
        ),
    ),
)
