"""Store explanations on disk: one safetensors file, its metadata as JSON in the header."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..boundary.arrays import read_safetensors
from ..boundary.digests import digest_of
from ..boundary.kinds import TABLES, TEXT, check_table, kinds_of
from ..boundary.tables import parse_json_object
from ..boundary.writing import require_ending, write_safetensors
from ..errors import InputError, LrpError
from ..plan.provenance import Provenance
from ..propagate.ledger import Account, Ledger, floor_for, tolerance_for
from ..show.labels import Labels
from .store_labels import labels_as_data, labels_from_data, tensors_of_labels

FORMAT = "lrp-engine explanation 4"
ENDING = ".safetensors"
_DIGEST = "sha256"
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
}
_LEDGER = {"accounts": TABLES, "dtype": TEXT}


@dataclass(frozen=True)
class StoredExplanation:
    """The content of one file; `outputs` are the model's output tensors, flat."""

    explained: Tensor
    relevance: Mapping[str, Tensor]
    coefficient: Mapping[str, Tensor]
    outputs: Sequence[Tensor]
    provenance: Provenance
    ledger: Ledger
    labels: Labels


def write_explanation(path: Path, stored: StoredExplanation) -> Path:
    """Write one file in one piece, with the folders above it, and return its path.

    Raises:
        InputError: the path does not end in `.safetensors`.
    """
    require_ending(path, [ENDING])
    tensors = {f"relevance/{k}": v for k, v in stored.relevance.items()}
    tensors |= {f"coefficient/{k}": v for k, v in stored.coefficient.items()}
    tensors |= {f"output/{i}": v for i, v in enumerate(stored.outputs)}
    tensors |= tensors_of_labels(stored.labels)
    tensors["explained"] = stored.explained
    texts = {
        "format": FORMAT,
        "provenance": json.dumps(stored.provenance.as_dict()),
        "ledger": json.dumps(_ledger_as_data(stored.ledger)),
        "labels": json.dumps(labels_as_data(stored.labels)),
    }
    return write_safetensors(path, tensors, texts | {_DIGEST: digest_of(tensors, texts)})


def read_explanation(path: Path) -> StoredExplanation:
    """Read one file.

    Raises:
        InputError: the file is not a saved explanation, is damaged, or was changed since.
    """
    tensors, metadata = read_safetensors(path, what="an explanation")
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path} is not an explanation written by this version of the engine")
    texts = {name: text for name, text in metadata.items() if name != _DIGEST}
    if metadata.get(_DIGEST) != digest_of(tensors, texts):
        raise InputError(
            f"{path} was changed after it was saved: its content does not have its digest. Save the"
            " explanation again."
        )
    try:
        return _parse(tensors, metadata)
    except (LrpError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: {type(error).__name__}: {error}") from error


def _parse(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> StoredExplanation:
    provenance, ledger, labels = (
        parse_json_object(metadata[part], part) for part in ("provenance", "ledger", "labels")
    )
    outputs = sorted((k for k in tensors if k.startswith("output/")), key=lambda k: int(k[7:]))
    for row in ledger["accounts"]:
        check_table(row, kinds_of(Account), "an account", InputError)
    check_table(provenance, kinds_of(Provenance), "provenance", InputError)
    check_table(ledger, kinds_of(Ledger) | _LEDGER, "ledger", InputError)
    floor = floor_for(_DTYPES[ledger["dtype"]])
    accounts = tuple(Account(**row | {"floor": floor}) for row in ledger["accounts"])
    return StoredExplanation(
        explained=tensors["explained"],
        relevance=_select(tensors, "relevance/"),
        coefficient=_select(tensors, "coefficient/"),
        outputs=[tensors[k] for k in outputs],
        provenance=Provenance.from_dict(provenance),
        ledger=Ledger(
            ledger["explained"], ledger["arrived"], accounts, _tolerance_of(ledger["dtype"])
        ),
        labels=labels_from_data(labels, tensors),
    )


def _select(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _ledger_as_data(ledger: Ledger) -> dict[str, object]:
    return {
        "explained": ledger.explained,
        "arrived": dict(ledger.arrived),
        "dtype": _dtype_of(ledger),
        "accounts": [asdict(account) for account in ledger.accounts],
    }


def _dtype_of(ledger: Ledger) -> str:
    """Return the name of the dtype whose tolerance a ledger has."""
    return next(name for name, dtype in _DTYPES.items() if tolerance_for(dtype) == ledger.tolerance)


def _tolerance_of(dtype: str) -> float:
    """Return the tolerance of a dtype by name: a file may choose neither it nor its floor."""
    return tolerance_for(_DTYPES[dtype])
