"""Explanations on disk: one safetensors file, its metadata as JSON in the header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils import _pytree as pytree

from ..errors import InputError
from ..propagate.ledger import Account, Ledger

if TYPE_CHECKING:
    from .explanation import Explanation

FORMAT = "lrp-engine explanation 2"


def save(explanation: Explanation, path: Path) -> Path:
    """Writes relevance, coefficients, outputs, the ledger and the provenance."""
    outputs = [v for v in pytree.tree_leaves(explanation.output) if isinstance(v, Tensor)]
    tensors = {f"relevance/{k}": v for k, v in explanation.relevance.items()}
    tensors |= {f"coefficient/{k}": v for k, v in explanation.coefficient.items()}
    tensors |= {f"output/{i}": v for i, v in enumerate(outputs)}
    tensors["explained"] = explanation.explained
    metadata = {
        "format": FORMAT,
        "provenance": json.dumps(explanation.provenance.as_dict()),
        "ledger": json.dumps(_ledger_data(explanation.ledger)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    # safetensors refuses tensors that share memory.
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, path, metadata)
    return path


def load(path: Path) -> Explanation:
    """Reads a saved explanation; its output is the flat list of output tensors.

    Raises InputError if the file is not one.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as an explanation: {error}") from error
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path} is not an explanation written by this engine")
    try:
        return _explanation(tensors, metadata)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged: {type(error).__name__}: {error}") from error


def _explanation(tensors: dict[str, Tensor], metadata: dict[str, str]) -> Explanation:
    from ..plan.provenance import Provenance
    from .explanation import Explanation

    provenance = json.loads(metadata["provenance"])
    outputs = sorted((k for k in tensors if k.startswith("output/")), key=lambda k: int(k[7:]))
    return Explanation(
        known_output=[tensors[k] for k in outputs],
        explained=tensors["explained"],
        relevance=_part(tensors, "relevance/"),
        coefficient=_part(tensors, "coefficient/"),
        provenance=Provenance(**{**provenance, "notes": tuple(provenance["notes"])}),
        known_ledger=_ledger(json.loads(metadata["ledger"])),
    )


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _ledger_data(ledger: Ledger) -> dict[str, Any]:
    accounts = [
        {
            "node": a.node,
            "op": a.op,
            "rule": a.rule,
            "place": a.place,
            "received": a.received,
            "passed": a.passed,
            "absorbed": dict(a.absorbed),
            "size_received": a.size_received,
            "size_passed": a.size_passed,
        }
        for a in ledger.accounts
    ]
    return {
        "explained": ledger.explained,
        "arrived": dict(ledger.arrived),
        "tolerance": ledger.tolerance,
        "accounts": accounts,
    }


def _ledger(data: dict[str, Any]) -> Ledger:
    accounts = tuple(Account(**row) for row in data["accounts"])
    return Ledger(data["explained"], data["arrived"], accounts, data["tolerance"])
