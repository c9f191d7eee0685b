"""Store explanations on disk: one safetensors file, its metadata as JSON in the header."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from ..boundary.arrays import read_safetensors
from ..boundary.kinds import TABLES, check_table, kinds_of
from ..boundary.tables import parse_json_object
from ..errors import InputError, LrpError
from ..plan.provenance import Provenance
from ..propagate.ledger import Account, Ledger

FORMAT = "lrp-engine explanation 2"


@dataclass(frozen=True)
class StoredExplanation:
    """The content of one file; `outputs` are the model's output tensors, flat."""

    explained: Tensor
    relevance: Mapping[str, Tensor]
    coefficient: Mapping[str, Tensor]
    outputs: Sequence[Tensor]
    provenance: Provenance
    ledger: Ledger


def write_explanation(path: Path, stored: StoredExplanation) -> Path:
    """Write one file, with the folders above it, and return its path."""
    tensors = {f"relevance/{k}": v for k, v in stored.relevance.items()}
    tensors |= {f"coefficient/{k}": v for k, v in stored.coefficient.items()}
    tensors |= {f"output/{i}": v for i, v in enumerate(stored.outputs)}
    tensors["explained"] = stored.explained
    metadata = {
        "format": FORMAT,
        "provenance": json.dumps(stored.provenance.as_dict()),
        "ledger": json.dumps(_ledger_as_data(stored.ledger)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    # safetensors refuses tensors that share memory.
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, path, metadata)
    return path


def read_explanation(path: Path) -> StoredExplanation:
    """Read one file.

    Raises:
        InputError: the file is not a saved explanation, or damaged.
    """
    tensors, metadata = read_safetensors(path, what="an explanation")
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path} is not an explanation written by this engine")
    try:
        return _parse(tensors, metadata)
    except (LrpError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: {type(error).__name__}: {error}") from error


def _parse(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> StoredExplanation:
    provenance, ledger = (
        parse_json_object(metadata[part], part) for part in ("provenance", "ledger")
    )
    outputs = sorted((k for k in tensors if k.startswith("output/")), key=lambda k: int(k[7:]))
    for row in ledger["accounts"]:
        check_table(row, kinds_of(Account), "an account", InputError)
    check_table(provenance, kinds_of(Provenance), "provenance", InputError)
    kinds = kinds_of(Ledger) | {"accounts": TABLES}
    check_table(ledger, kinds, "ledger", InputError)
    accounts = tuple(Account(**row) for row in ledger["accounts"])
    return StoredExplanation(
        explained=tensors["explained"],
        relevance=_select(tensors, "relevance/"),
        coefficient=_select(tensors, "coefficient/"),
        outputs=[tensors[k] for k in outputs],
        provenance=Provenance.from_dict(provenance),
        ledger=Ledger(ledger["explained"], ledger["arrived"], accounts, ledger["tolerance"]),
    )


def _select(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _ledger_as_data(ledger: Ledger) -> dict[str, object]:
    return {
        "explained": ledger.explained,
        "arrived": dict(ledger.arrived),
        "tolerance": ledger.tolerance,
        "accounts": [asdict(account) for account in ledger.accounts],
    }
