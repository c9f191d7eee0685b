"""Read files of checks (TOML): the models to check, their inputs and their budgets.

[budget]                      # for every check below, unless it says otherwise
amplification = 30
absorbed.bias = 0.3

[[check]]
name = "classifier"
model = "my_package.models:classifier"
inputs = "batch.npz"          # or a folder of images, or my_package.data:batches
target = 3
presets = ["epsilon", "attnlrp"]
golden = "golden/classifier"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..boundary.kinds import (
    COUNT,
    NUMBERS,
    TABLE,
    TABLES,
    TEXT,
    TEXTS,
    WHOLE,
    Kind,
    check_table,
    many,
)
from ..boundary.tables import read_toml
from ..errors import BudgetError
from ..run.target import Target
from .budget import Budget

_FILE = {"budget": TABLE, "check": TABLES}
_CASE = {
    "name": TEXT,
    "model": TEXT,
    "inputs": TEXT,
    "images": TABLE,
    "target": Kind(
        "a class by number or name, a list of classes, or a table of weights by class",
        lambda v: any(k.accepts(v) for k in (WHOLE, TEXT, many(WHOLE, ""), TEXTS, TABLE)),
    ),
    "position": WHOLE,
    "preset": TEXT,
    "presets": Kind("a list of at least one text", lambda v: TEXTS.accepts(v) and bool(v)),
    "rules": TEXTS,
    "sources": TEXTS,
    "output": TEXT,
    "settings": TABLE,
    "batch": COUNT,
    "golden": TEXT,
    "budget": TABLE,
}
_IMAGES = {
    "size": Kind(
        "one number or (height, width), each at least 1",
        lambda v: COUNT.accepts(v) or (many(COUNT, "").accepts(v) and len(v) == 2),  # type: ignore[arg-type]
    ),
    "mean": NUMBERS,
    "std": NUMBERS,
    "mode": TEXT,
}
DEFAULT_PRESET = "attnlrp"


@dataclass(frozen=True)
class ImageOptions:
    """Options for reading image files as a tensor (samples, channels, height, width) in [0, 1].

    Attributes:
        size: (height, width) to resize to.
        mean: numbers to subtract, one or one per channel.
        std: numbers to divide by afterwards, one or one per channel.
        mode: as in pillow ("L", "RGB"); default by the files.
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    mode: str | None = None


@dataclass(frozen=True)
class CheckCase:
    """One model under one preset, with its inputs and its budget. Paths start at `folder`."""

    name: str
    model: str
    inputs: str | None = None
    images: ImageOptions = field(default_factory=ImageOptions)
    target: Target = None
    position: int | None = None
    preset: str = DEFAULT_PRESET
    rules: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    output: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    batch: int | None = None
    golden: Path | None = None
    budget: Budget = field(default_factory=Budget)
    folder: Path = field(default_factory=Path)

    def path(self, text: str) -> Path:
        """Resolve a path that the file of checks names."""
        return self.folder / text


def read_cases(file: Path) -> tuple[CheckCase, ...]:
    """Read all checks of a file; several presets make several cases.

    Raises:
        BudgetError: the file cannot be read, or has an unknown key or a value that does not fit.
    """
    table = _read(file)
    base = _base(table, file)
    rows = table.get("check")
    if not rows:
        raise BudgetError(f"{file} has no [[check]]: each names a model")
    cases = tuple(case for row in rows for case in _cases(row, base, file))
    names = [case.name for case in cases]
    for name in names:
        if names.count(name) > 1:
            raise BudgetError(f"{file}: two checks are called {name!r}; give each its own name")
    return cases


def read_budget(file: Path) -> Budget:
    """Read the `[budget]` of a file of checks. Raises BudgetError as `read_cases` does."""
    return _base(_read(file), file)


def _read(file: Path) -> Mapping[str, Any]:
    table = read_toml(file, BudgetError)
    check_table(table, _FILE, str(file), BudgetError)
    return table


def _base(table: Mapping[str, Any], file: Path) -> Budget:
    return Budget.of(table.get("budget", {}), f"{file}: budget")


def _cases(row: Mapping[str, Any], base: Budget, file: Path) -> Iterator[CheckCase]:
    where = f"{file}: check {row.get('name', row.get('model', ''))!r}"
    check_table(row, _CASE, where, BudgetError)
    if "model" not in row:
        raise BudgetError(f"{where} names no model")
    if "preset" in row and "presets" in row:
        raise BudgetError(f"{where} has both preset and presets")
    chosen = row.get("presets", [row.get("preset", DEFAULT_PRESET)])
    if not chosen:
        raise BudgetError(f"{where}: presets is empty, so that nothing would be checked")
    name = row.get("name", row["model"])
    for preset in chosen:
        several = len(chosen) > 1
        golden = row.get("golden")
        if golden is not None:
            golden = file.parent / (f"{golden}-{Path(preset).stem}" if several else golden)
        yield CheckCase(
            name=f"{name}[{Path(preset).stem}]" if several else name,
            model=row["model"],
            inputs=row.get("inputs"),
            images=_images(row.get("images", {}), where),
            target=_target(row.get("target"), where),
            position=row.get("position"),
            preset=preset,
            rules=tuple(row.get("rules", ())),
            sources=tuple(row.get("sources", ())),
            output=row.get("output"),
            settings=row.get("settings", {}),
            batch=row.get("batch"),
            golden=golden,
            budget=Budget.of(row.get("budget", {}), f"{where}: budget", base),
            folder=file.parent,
        )


def _target(value: Any, where: str) -> Target:
    """Read a class, one per sample, or a table of weights by class."""
    if value in ({}, []):
        raise BudgetError(f"{where}: target {value!r} names no class")
    try:
        if isinstance(value, Mapping):
            return {_class(name): float(weight) for name, weight in value.items()}
    except (TypeError, ValueError) as error:
        raise BudgetError(f"{where}: target {value!r} names no class: {error}") from error
    found: Target = value
    return found


def _class(name: str) -> int | str:
    return int(name) if name.lstrip("-").isdigit() else name


def _images(table: Mapping[str, Any], where: str) -> ImageOptions:
    check_table(table, _IMAGES, f"{where}: images", BudgetError)
    size = table.get("size")
    if isinstance(size, int):
        size = [size, size]
    return ImageOptions(
        size=None if size is None else (int(size[0]), int(size[1])),
        mean=tuple(map(float, table.get("mean", ()))),
        std=tuple(map(float, table.get("std", ()))),
        mode=table.get("mode"),
    )
