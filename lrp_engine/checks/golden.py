"""Golden results: relevance that a person has inspected, to compare later runs with.

One file, NAME.json: what a person reads and a diff shows comes first, then the relevance of the
first samples, at most `ENTRIES` evenly spaced entries of each, then a digest of all of it. It is
written in one piece: what a failed update leaves is the result from before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..boundary.digests import bytes_of, digest_of, pack, unpack
from ..boundary.reading import fault_text
from ..boundary.tables import read_json_object
from ..boundary.writing import write_text
from ..engine import Engine
from ..errors import BudgetError
from ..plan.provenance import Provenance
from ..propagate.ledger import Ledger
from ..results.explanation import Explanation

DIGEST = "sha256"
FORMAT = "lrp-engine golden result 2"
SAMPLES = 8
ENTRIES = 4096


@dataclass(frozen=True)
class KeptRelevance:
    """The relevance of the first samples that a golden result stores, by source.

    `entries[source]` (samples, entries) are evenly spaced entries, `sums[source]` (samples, 2) the
    sum of R and of |R| over all of them. `inputs` is a hash of the inputs that gave them.
    """

    entries: Mapping[str, Tensor] = field(default_factory=dict)
    sums: Mapping[str, Tensor] = field(default_factory=dict)
    explained: tuple[float, ...] = ()
    inputs: str = ""


@dataclass(frozen=True)
class Golden:
    """A stored result: relevance, the plan that gave it, and all that it depended on."""

    kept: KeptRelevance
    plan: tuple[tuple[str, str, str], ...]
    provenance: Provenance
    parameters: str
    tolerance: float
    absorbed: Mapping[str, float]

    @classmethod
    def of(cls, engine: Engine, kept: KeptRelevance, ledger: Ledger) -> Golden:
        """Make the golden result of a run."""
        sent = ledger.sent or 1.0
        return cls(
            kept=kept,
            plan=plan_lines(engine),
            provenance=engine.provenance,
            parameters=parameters_hash(engine),
            tolerance=ledger.tolerance,
            absorbed={cause: amount / sent for cause, amount in ledger.absorbed.items()},
        )

    def save(self, path: Path) -> Path:
        """Write the file in one piece, and return its path; `path` is that without its ending."""
        data = self._data() | {"relevance": pack(_tensors(self.kept))}
        text = json.dumps(data | {DIGEST: _digest(data)}, indent=1) + "\n"
        return write_text(_file(path), text)

    @classmethod
    def load(cls, path: Path) -> Golden:
        """Read what `save` wrote.

        Raises:
            BudgetError: there is no such file, or it was cut short, edited, or written by another
                version.
        """
        file = _file(path)
        advice = "Write it with lrp check --update."
        if not file.exists():
            raise BudgetError(f"there is no golden result {file}. {advice}")
        try:
            data = dict(read_json_object(file, BudgetError))
            if data["format"] != FORMAT:
                raise ValueError(f"its format is {data['format']!r}, not {FORMAT!r}")
            if data.pop(DIGEST) != _digest(data):
                raise ValueError("it was changed after it was written")
            return _read(data, unpack(data["relevance"]))
        except Exception as error:  # whatever damaged data leads to
            raise BudgetError(
                f"golden result {file} cannot be used: {fault_text(error)}. {advice}"
            ) from error

    def differences(self, engine: Engine, kept: KeptRelevance) -> list[str]:
        """List what else changed since: versions, preset, graph, parameters, inputs."""
        found = list_changes(self.provenance, engine.provenance)
        if self.parameters != parameters_hash(engine):
            found.append("the model's parameters differ")
        if self.kept.inputs != kept.inputs:
            found.append("the inputs or targets differ")
        return found

    def _data(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "provenance": self.provenance.as_dict(),
            "parameters": self.parameters,
            "inputs": self.kept.inputs,
            "tolerance": self.tolerance,
            "explained": [float(f"{number:.6g}") for number in self.kept.explained],
            "absorbed": {k: float(f"{v:.4g}") for k, v in sorted(self.absorbed.items())},
            "plan": [" | ".join(row) for row in self.plan],
        }


def list_changes(then: Provenance, now: Provenance) -> list[str]:
    """List the changes of what a result depends on, such as `preset: epsilon -> attnlrp`."""
    names = ("engine", "torch", "preset", "preset_hash", "graph_hash", "dtype", "captured")
    pairs = [(n.replace("_", " "), getattr(then, n), getattr(now, n)) for n in names]
    return [f"{name}: {old} -> {new}" for name, old, new in pairs if old != new]


def keep_batch(
    before: KeptRelevance,
    explanation: Explanation,
    *asked: object,
    samples: int = SAMPLES,
    entries: int | None = ENTRIES,
) -> KeptRelevance:
    """Add one batch to what is kept, until there are enough samples.

    Args:
        before: What is kept of the batches before.
        explanation: The batch's explanation.
        *asked: What was explained (inputs, target, position), which is kept as a hash.
        samples: How many samples are kept in all.
        entries: How many evenly spaced entries are kept of each; None for all.
    """
    room = samples - len(before.explained)
    if room <= 0:
        return before
    kept, sums = dict(before.entries), dict(before.sums)
    for name, relevance in explanation.relevance.items():
        rows = relevance.detach()[:room].flatten(1) if relevance.dim() > 1 else relevance[None]
        _append(kept, name, _spaced(rows, entries).cpu())
        wide = rows.double()
        _append(sums, name, torch.stack([wide.sum(1), wide.abs().sum(1)], 1).cpu())
    numbers = explanation.explained.detach().flatten()[:room].tolist()
    digest = hashlib.sha256(before.inputs.encode())
    for part in asked:
        leaves, spec = pytree.tree_flatten(part)
        digest.update(str(spec).encode())
        for leaf in leaves:
            # The samples that are kept say enough.
            of_samples = isinstance(leaf, Tensor) and leaf.dim() > 0
            digest.update(_bytes(leaf[:room] if of_samples else leaf))
    return KeptRelevance(kept, sums, (*before.explained, *numbers), digest.hexdigest()[:12])


def plan_lines(engine: Engine) -> tuple[tuple[str, str, str], ...]:
    """Return (op, module, rule) of every live op; node names, which torch chooses, are left out."""
    return tuple((op, place, rule) for _, op, _, rule, _, place in engine.plan.rows())


def parameters_hash(engine: Engine) -> str:
    """Hash all parameters and buffers, bit by bit."""
    digest = hashlib.sha256()
    for name, tensor in sorted(engine.captured.tensors.items()):
        digest.update(name.encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()[:12]


def _bytes(leaf: object) -> bytes:
    if isinstance(leaf, Tensor):
        return bytes_of(leaf)
    return str(getattr(leaf, "__qualname__", repr(leaf))).encode()


def _spaced(rows: Tensor, entries: int | None) -> Tensor:
    count = rows.shape[1]
    if entries is None or count <= entries:
        return rows.clone()
    index = torch.arange(entries, device=rows.device) * count // entries
    return rows[:, index]


def _append(table: dict[str, Tensor], name: str, rows: Tensor) -> None:
    # Sequences of another length are padded: what is not there has no relevance.
    if name not in table:
        table[name] = rows
        return
    held = table[name]
    width = max(held.shape[1], rows.shape[1])
    padded = [torch.nn.functional.pad(t, (0, width - t.shape[1])) for t in (held, rows)]
    table[name] = torch.cat(padded)


def _tensors(kept: KeptRelevance) -> dict[str, Tensor]:
    entries = {f"entries/{k}": v for k, v in kept.entries.items()}
    return entries | {f"sums/{k}": v for k, v in kept.sums.items()}


def _read(data: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Golden:
    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    return Golden(
        kept=KeptRelevance(
            part("entries/"), part("sums/"), tuple(data["explained"]), data["inputs"]
        ),
        plan=tuple(_plan_rows(data["plan"])),
        provenance=Provenance.from_dict(data["provenance"]),
        parameters=data["parameters"],
        tolerance=data["tolerance"],
        absorbed=data["absorbed"],
    )


def _plan_rows(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    for line in lines:
        op, place, rule = line.split(" | ")
        yield op, place, rule


def _file(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _digest(data: Mapping[str, object]) -> str:
    return digest_of({}, {key: json.dumps(value) for key, value in data.items()})
