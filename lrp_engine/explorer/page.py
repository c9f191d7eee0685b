"""Write the explorer's page: one file that holds script, styles and data, and asks for nothing."""

from __future__ import annotations

import html
import json
from dataclasses import replace
from importlib import resources

from ..errors import InputError
from .packing import compress, pack
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
<noscript>This page draws its pictures with a script: allow scripts to see them.</noscript>
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
    data = compress(pack(scene))
    while len(data) > limit and _traced(scene):
        scene = _with_fewer_traces(scene, max(limit / len(data) * 0.9, 0.1))
        data = compress(pack(scene))
    if len(data) > limit:
        raise InputError(
            f"the page would have {len(data) / 1e6:.0f} MB even without traces, and may have"
            f" {limit / 1e6:.0f}: show fewer layers or targets"
        )
    return _PAGE.format(
        title=html.escape(scene.title),
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
    notes = (*(n for n in scene.notes if "traces were left out" not in n), note)
    return replace(scene, targets=targets, notes=notes)


def _fewer(target: TargetScene, share: float) -> TargetScene:
    if target.traces is None:
        return target
    count = int(len(target.traces.nodes) * share)
    few = Traces(target.traces.nodes[:count], target.traces.amounts[:count])
    return replace(target, traces=few if count else None)
