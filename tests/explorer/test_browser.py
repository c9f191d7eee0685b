"""The pages in a browser: hover, click, keys; no request, no message on the console."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lrp_engine.circuits import page
from lrp_engine.explorer import write_page
from lrp_engine.views import scene_of

from .small import image_exploration, small_circuit, text_exploration, text_scene

WEB = Path(__file__).parents[2] / "web"
MISSING = [
    name
    for name, there in (
        ("node", shutil.which("node")),
        ("chromium", shutil.which("chromium") or shutil.which("google-chrome")),
        ("npm ci in web/", (WEB / "node_modules" / "playwright-core").is_dir()),
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
    command = ["node", str(WEB / "test" / "browse.mjs"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
