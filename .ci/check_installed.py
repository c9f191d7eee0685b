"""Imports every module of the installed wheel and finds its data; argument: the checkout."""

import importlib
import pkgutil
import sys
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import lrp_engine


def main(checkout: Path) -> None:
    """Fails on an import error, on a module from the checkout, or on missing data files."""
    assert checkout not in Path(lrp_engine.__file__).parents, lrp_engine.__file__
    modules = [m.name for m in pkgutil.walk_packages(lrp_engine.__path__, "lrp_engine.")]
    for name in modules:
        # Triton comes with torch for GPUs only; a figure derives from matplotlib's own class.
        if not name.endswith(("__main__", "_triton", ".show.figure.canvas")):
            importlib.import_module(name)
    presets = {p.name for p in (checkout / "rules" / "presets").glob("*.toml")}
    shipped = {p.name for p in (files("lrp_engine.rules") / "presets").iterdir()}
    assert presets, "no presets in the checkout"
    assert presets <= shipped, presets - shipped
    demo = files("lrp_engine.demo")
    assert (demo / "digits.safetensors").is_file()
    for model in ("basic_pitch/nmp", "magika/model", "silero_vad/silero_vad_16k_sequence"):
        assert (demo / "models" / f"{model}.onnx").is_file()
        assert (demo / "models" / model.split("/")[0] / "LICENSE").is_file()
    assert (demo / "data" / "ask_not.wav").is_file()
    assert (files("lrp_engine.rules") / "auto.toml").is_file()
    assert (files("lrp_engine.explorer") / "explorer.js").is_file()
    assert (files("lrp_engine.show.page") / "page.css").is_file()
    assert (files("lrp_engine") / "py.typed").is_file()
    # It needs pytest, which a plain install does not have: it is there, and not imported.
    assert find_spec("pytest_lrp") is not None
    assert any(e.value == "pytest_lrp.plugin" for e in entry_points(group="pytest11"))
    print(f"{len(modules)} modules and {len(presets)} presets from {lrp_engine.__path__[0]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
