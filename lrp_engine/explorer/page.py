"""Write the explorer's page: one file that holds script, styles and data, and asks for nothing."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources

from ..errors import InputError
from .packing import compress, pack, pack_words
from .scene import Scene, TargetScene, Traces

LIMIT = 25_000_000

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline';\
 style-src 'unsafe-inline'; img-src data: blob:; connect-src 'self'">
<title>{title}</title>
<link rel="icon" href="data:,">
</head>
<body>
<noscript>This page draws its pictures with a script: allow scripts to see them. {text}</noscript>
<main id="app"></main>
<script type="application/json" id="live">{live}</script>
<script type="text/plain" id="scene">{scene}</script>
<script>{script}</script>
</body>
</html>
"""


def write_page(scene: Scene, *, live: str = "", limit: int = LIMIT) -> str:
    """Return the page as text.

    Args:
        scene: What to show.
        live: Where a server answers for nodes that were not traced; empty for a saved page.
        limit: The largest page, in bytes. Traces of the weaker nodes are left out until it is met,
            which the page says.

    Raises:
        InputError: the page is too large even without traces.
    """
    whole, data = scene, compress(pack(scene))
    while len(data) > limit and _traced(scene):
        share = max(limit / len(data) * 0.9, 0.1) * _traced(scene) / _traced(whole)
        scene = _with_fewer_traces(whole, share)
        data = compress(pack(scene))
    if len(data) > limit:
        raise InputError(
            f"the page would have {len(data) / 1e6:.0f} MB even without traces, and may have"
            f" {limit / 1e6:.0f}: show fewer layers or targets"
        )
    return _fill(scene.title, scene.notes, data, live)


def write_circuit_page(title: str, notes: tuple[str, ...], drawing: Mapping[str, object]) -> str:
    """Return the page of a circuit as text.

    Args:
        title: Its title.
        notes: Lines below it.
        drawing: `places`, `lines`, `rows` and `tokens`, as plain data.
    """
    words = {"kind": "circuit", "title": title, "notes": list(notes), **drawing}
    return _fill(title, notes, compress(pack_words(words)))


def _fill(title: str, notes: Sequence[str], data: str, live: str = "") -> str:
    return _PAGE.format(
        title=html.escape(title),
        text=html.escape(" ".join([title, *notes])),
        live=json.dumps(live).replace("<", "\\u003c"),
        scene=data,
        script=bundle(),
    )


def bundle() -> str:
    """Return the script that shows a scene, styles and licences included."""
    return (resources.files(__package__ or "") / "explorer.js").read_text(encoding="utf-8")


def _traced(scene: Scene) -> int:
    return sum(len(t.traces.nodes) for t in scene.targets if t.traces)


def _with_fewer_traces(scene: Scene, share: float) -> Scene:
    """Return a scene with a share of its traces: those of the strongest nodes come first."""
    before = _traced(scene)
    targets = tuple(_fewer(target, share) for target in scene.targets)
    kept = sum(len(t.traces.nodes) for t in targets if t.traces)
    note = f"{before - kept} of {before} traces were left out: the page would have been too large."
    return replace(scene, targets=targets, notes=(*scene.notes, note))


def _fewer(target: TargetScene, share: float) -> TargetScene:
    if target.traces is None:
        return target
    count = int(len(target.traces.nodes) * share)
    few = Traces(target.traces.nodes[:count], target.traces.amounts[:count])
    return replace(target, traces=few if count else None)
