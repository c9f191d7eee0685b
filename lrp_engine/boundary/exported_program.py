"""Load programs of `torch.export.save` without running what a file may bring to be run.

torch unpickles parts of such a file, and evaluates its expressions of sizes with sympy, as Python.
Neither is needed for the programs that torch writes of plain tensors and sizes.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from ..errors import CaptureError, LrpError
from .reading import fault_text, reading

_HOW = "Write it with torch.export.save(torch.export.export(model, inputs), path)."
_ONLY_WEIGHTS = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"  # torch's own switch, for every load inside

# Names, numbers, operators and brackets. sympy's functions begin with capitals; what begins with a
# small letter and is called (`exec`, `input`) is Python's.
_EXPRESSION = re.compile(r"[\w\s+\-*/%(),<>=&|~.]*")
_SYMBOL = re.compile(r"Symbol\('\w+'")  # how sympy writes a name
_HARMFUL = re.compile(r"__|\.\s*[A-Za-z_]|\b[a-z]\w*\s*\(|\*\*\s*\(?\s*\d{3}|\*\*[^,]*\*\*|\)\s*\(")


def read_exported(path: str | Path, error: type[LrpError] = CaptureError) -> ExportedProgram:
    """Load an exported program. Raises `error` for a file that is none, or that needs pickle."""
    with reading(path, error, "an exported program") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                _refuse_harmful(archive)
            with _weights_only():
                return torch.export.load(file)
        except Exception as fault:
            raise ValueError(f"{fault_text(fault)}. {_HOW}") from fault


@contextmanager
def _weights_only() -> Iterator[None]:
    before = os.environ.get(_ONLY_WEIGHTS)
    os.environ[_ONLY_WEIGHTS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_ONLY_WEIGHTS]
        else:
            os.environ[_ONLY_WEIGHTS] = before


def _refuse_harmful(archive: zipfile.ZipFile) -> None:
    """Raise ValueError for an expression of sizes that is more than arithmetic."""
    for name in archive.namelist():
        if name.endswith(".json"):
            for text in _expressions(json.loads(archive.read(name))):
                rest = _SYMBOL.sub("Symbol(s", text)
                if not _EXPRESSION.fullmatch(rest) or _HARMFUL.search(rest):
                    raise ValueError(f"the expression {text[:60]!r} in it is no size")


def _expressions(data: Any) -> Iterator[str]:
    """Yield every text in parsed JSON that torch evaluates as an expression."""
    layer = [data]
    while layer:
        tables = [node for node in layer if isinstance(node, dict)]
        lists = [node for node in layer if isinstance(node, list)]
        for table in tables:
            if isinstance(text := table.get("expr_str"), str):
                yield text
        layer = [inner for table in tables for inner in table.values()]
        layer += [inner for each in lists for inner in each]
