"""`lrp presets`: the presets that come with the engine."""

from __future__ import annotations

from .. import preset_file as preset_files
from ..registry import standard
from .console import print_json, print_table, reporting
from .options import AsJson


def presets(as_json: AsJson = False) -> None:
    """List the presets by name."""
    with reporting(as_json):
        registry = standard()
        found = [preset_files.load(name, registry) for name in preset_files.presets()]
        if as_json:
            print_json([{"name": p.name, "title": p.title, "cites": list(p.cites)} for p in found])
            return
        rows = [(p.name, p.title, ", ".join(dict.fromkeys(p.cites))) for p in found]
        print_table("presets", ("name", "what it does", "cites"), rows)
