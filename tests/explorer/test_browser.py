"""The pages in a browser: hover, click, keys; no request, no message on the console."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from lrp_engine.circuits import page
from lrp_engine.explorer import write_page
from lrp_engine.explorer.serve import LIVE, LivePage, address_of, serve
from lrp_engine.views import scene_of

from .small import image_exploration, small_circuit, text_exploration, text_scene

WEB = Path(__file__).parents[2] / "web"
PACKAGES = ("playwright-core", "axe-core")
MISSING = [
    name
    for name, there in (
        ("node", shutil.which("node")),
        ("chromium", shutil.which("chromium") or shutil.which("google-chrome")),
        ("npm ci in web/", all((WEB / "node_modules" / p).is_dir() for p in PACKAGES)),
    )
    if not there
]


@pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")
def test_pages_work_in_a_browser(tmp_path: Path) -> None:
    saved = text_exploration().explained[0].explanation
    (tmp_path / "text.html").write_text(write_page(text_scene()))
    (tmp_path / "image.html").write_text(write_page(image_exploration().scene(traces=300)))
    (tmp_path / "saved.html").write_text(write_page(scene_of(saved)))
    notes = ("checked by <i>patching</i>",)
    (tmp_path / "circuit.html").write_text(page(small_circuit(), notes=notes))
    bare = tuple(replace(target, traces=None) for target in text_scene().targets)
    untraced = write_page(replace(text_scene(), targets=bare), live=LIVE)
    live = LivePage(untraced, lambda target, node: text_exploration().trace(target, [node]))
    with serve(live) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        script, address = str(WEB / "test" / "browse.mjs"), address_of(server, live)
        command = ["node", script, str(tmp_path), address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        server.shutdown()
    assert done.returncode == 0, done.stdout + done.stderr
