"""Print a circuit, write it to files, and describe it as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from .. import circuits
from ..boundary.writing import require_ending
from ..circuits.agreement import Agreement
from .circuit_inputs import CircuitInputs
from .circuit_search import CircuitResult
from .console import note, print_table, say
from .output_files import PAGES, PICTURES, SAVED


def write(found: CircuitResult, inputs: CircuitInputs, files: Mapping[str, Path | None]) -> None:
    """Write the files that are asked for, by kind: html, plot, graphml, dot, eap, save."""
    paths = {kind: path for kind, path in files.items() if path is not None}
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    if {"html", "plot"} & set(paths):
        _write_drawings(found, inputs, paths)
    if "graphml" in paths:
        circuits.write_graphml(found.circuit, paths["graphml"])
    if "dot" in paths:
        paths["dot"].write_text(circuits.dot(found.circuit))
    if "eap" in paths:
        circuits.write_eap_json(found.circuit, inputs.model(), paths["eap"])
    if "save" in paths:
        found.scores.save(paths["save"])
    found.written.extend(paths.values())


ENDINGS: dict[str, tuple[str, ...]] = {
    "html": PAGES,
    "plot": PICTURES,
    "graphml": (".graphml", ".xml"),
    "dot": (".dot", ".gv"),
    "eap": (".json", ".eap"),
    "save": SAVED,
}


def require_endings(files: Mapping[str, Path | None]) -> None:
    """Raise InputError for a file whose name does not end as its kind does."""
    for kind, path in files.items():
        if path is not None:
            require_ending(path, ENDINGS[kind])


def show(found: CircuitResult) -> None:
    """Print the best components and edges, what each is worth, and how far to trust them."""
    if found.choice is not None:
        say(found.choice.table())
    scores = [(c.name, c.site.name, c.site.own_name, f"{s:+.3f}") for c, s in found.scores.top(12)]
    print_table("components", ("component", "hook", "the model's own name", "score#"), scores)
    edges = [(a, b, f"{s:+.3f}") for a, b, s in found.edges.top(12)]
    print_table("edges", ("from", "to", "score#"), edges)
    lost = sorted(found.quality.minimality.items(), key=lambda item: -item[1])
    print_table(
        "what the circuit loses without a component",
        ("component", "faithfulness lost#"),
        [(name, f"{value:+.3f}") for name, value in lost[:12]],
    )
    if found.curve is not None:
        _show_curve(found.curve)
    for line in _statements(found):
        say(line)
    for path in found.written:
        say(f"wrote {path}")
    if not found.written:
        note("--html, --plot, --graphml, --dot, --eap or --save writes the circuit to a file")


def as_json(found: CircuitResult) -> dict[str, object]:
    """Return the result as plain data."""
    return {
        "ok": True,
        "estimator": found.edges.estimator,
        "prompts": found.prompts,
        "metric": {
            "clean": float(found.edges.clean.mean()),
            "corrupt": float(found.edges.corrupt.mean()),
        },
        "components": _rows(("name", "hook", "own", "score"), found.scores),
        "edges": found.circuit.names(),
        "faithfulness": found.quality.faithfulness,
        "completeness": found.quality.completeness,
        "minimality": found.quality.minimality,
        "agreement": _agreement_data(found.quality.agreement),
        "sums": found.edges.cut_sums.ratios,
        "curve": _curve_data(found.curve),
        "verification": _verification_data(found.scores.verification),
        "files": [str(path) for path in found.written],
    }


def _write_drawings(found: CircuitResult, inputs: CircuitInputs, paths: Mapping[str, Path]) -> None:
    own = {s.short_name(): s.own_name for s in inputs.model().sites}
    drawing = circuits.arrange(found.circuit, tokens=inputs.tokens(), own=own)
    if "html" in paths:
        paths["html"].write_text(circuits.page(drawing, notes=tuple(_statements(found))))
    if "plot" in paths:
        from ..circuits.drawing.figure import save_figure  # needs matplotlib

        save_figure(drawing, paths["plot"])


def _statements(found: CircuitResult) -> Iterator[str]:
    """Say in plain sentences what the circuit is and how far to trust it."""
    c, q = found.circuit, found.quality
    yield (
        f"{len(c)} of {len(found.edges)} edges ({c.share:.1%}), {len(c.components())} components,"
        f" {found.prompts} prompts. The circuit alone restores {q.faithfulness:.1%} of the"
        f" metric's difference; the model without it keeps {1 - q.completeness:.1%}."
    )
    if q.agreement is not None:
        yield (
            f"Scores in the circuit against what the metric loses without each component:"
            f" {q.agreement}."
        )
    yield from _sums_of_edges(found)
    if found.scores.verification is not None:
        yield found.scores.verification.statement


def _sums_of_edges(found: CircuitResult) -> Iterator[str]:
    """Say what all edges sum to at full cuts; warn where that is not the metric's difference."""
    name, sums = found.edges.estimator, found.edges.cut_sums
    for line in (sums.statement, sums.warning):
        if line is not None:
            yield f"{name}, all edges: {line}."


def _show_curve(curve: circuits.Curve) -> None:
    sizes = zip(curve.sizes, curve.edges, curve.faithfulness, strict=True)
    rows = [(f"{size:.1%}", str(count), f"{f:.3f}") for size, count, f in sizes]
    print_table("faithfulness by size", ("edges asked for#", "edges kept#", "faithfulness#"), rows)
    say(f"CPR {curve.cpr:.3f} (higher is better), CMD {curve.cmd:.3f} (lower is better)")


def _curve_data(curve: circuits.Curve | None) -> dict[str, object] | None:
    if curve is None:
        return None
    data: dict[str, object] = {"sizes": curve.sizes, "faithfulness": curve.faithfulness}
    return data | {"cpr": curve.cpr, "cmd": curve.cmd}


def _verification_data(v: circuits.Verification | None) -> dict[str, object] | None:
    if v is None:
        return None
    measured: dict[str, object] = dict(asdict(v.measured))
    says: dict[str, object] = {"trust": v.trust.name, "says": v.statement, "warning": v.warning}
    return measured | {"sums": v.sums.ratios} | says


def _agreement_data(agreement: Agreement | None) -> dict[str, float] | None:
    return None if agreement is None else asdict(agreement)


def _rows(keys: Sequence[str], scores: circuits.Scores) -> list[dict[str, object]]:
    found = [(c.name, c.site.name, c.site.own_name, s) for c, s in scores.top(50)]
    return [dict(zip(keys, row, strict=True)) for row in found]
