"""`lrp names`: a model's inputs and outputs, and the values inside of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import data_options as d
from .. import options as o
from ..console import print_json, print_table, reporting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import fx

    from ...capture import Captured

HEAD = ("name", "numbers", "shape")


@d.with_data_options
def names(
    model: o.ModelName,
    data: d.DataTexts = None,
    inputs: o.InputFile = None,
    setting: o.SettingTexts = None,
    said: d.DataOptions = d.NOTHING_SAID,
    as_json: o.AsJson = False,
    debug: o.Debug = False,
) -> None:
    """List what --source and --output-name can name: inputs, outputs, values inside.

    Sizes that may vary are letters. The model is captured, and nothing is computed.
    """
    bound = o.settings_of(setting)
    with reporting(as_json, debug):
        from ...plan.prepare import prepare
        from ..bring_steps import bring
        from ..console import note, working

        brought = bring(model, data or [], inputs, said, bound, {}, made_up=True)
        with working("capturing the model"):
            given = brought.subject.example(brought.data).inputs
            captured = prepare(brought.subject.module, given).captured
        for text in captured.notes:
            note(text)
        tables = _tables(captured)
    if as_json:
        print_json({"ok": True, **{name: _records(rows) for name, rows in tables.items()}})
        return
    for title, rows in tables.items():
        if rows:
            print_table(title, HEAD, rows)


def _tables(captured: Captured) -> dict[str, list[tuple[str, ...]]]:
    inside = [
        (path if len(nodes) == 1 else node.name, node)
        for path, nodes in captured.modules.items()
        for node in nodes
    ]
    return {
        "inputs": list(_rows((port.name, port.node) for port in captured.inputs)),
        "outputs": list(_rows((port.name, port.node) for port in captured.outputs)),
        "inside": list(_rows(inside)),
    }


def _records(rows: Iterable[tuple[str, ...]]) -> list[dict[str, str]]:
    return [dict(zip(HEAD, row, strict=True)) for row in rows]


def _rows(named: Iterable[tuple[str, fx.Node]]) -> Iterable[tuple[str, ...]]:
    for name, node in named:
        value = node.meta.get("val")
        sizes = getattr(value, "shape", None)
        if sizes is None:
            yield name, type(value).__name__, ""
            continue
        numbers = str(getattr(value, "dtype", "")).removeprefix("torch.")
        yield name, numbers, f"({', '.join(map(str, sizes))})"
