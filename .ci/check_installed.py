"""Imports every module of the installed wheel and finds its data; argument: the checkout."""

import importlib
import pkgutil
import sys
from importlib.resources import files
from pathlib import Path

import lrp_engine

# Modules that may need an extra, which a plain install does not have.
NEEDS_AN_EXTRA = {"lrp_engine.pytest_plugin"}


def main(checkout: Path) -> None:
    """Fails on an import error, on a module from the checkout, or on missing data files."""
    assert checkout not in Path(lrp_engine.__file__).parents, lrp_engine.__file__
    modules = [m.name for m in pkgutil.walk_packages(lrp_engine.__path__, "lrp_engine.")]
    for name in modules:
        if name not in NEEDS_AN_EXTRA and not name.endswith("__main__"):
            importlib.import_module(name)
    presets = {p.name for p in (checkout / "rules" / "presets").glob("*.toml")}
    shipped = {p.name for p in (files("lrp_engine.rules") / "presets").iterdir()}
    assert presets, "no presets in the checkout"
    assert presets <= shipped, presets - shipped
    assert (files("lrp_engine.demo") / "digits.safetensors").is_file()
    assert (files("lrp_engine") / "py.typed").is_file()
    print(f"{len(modules)} modules and {len(presets)} presets from {lrp_engine.__path__[0]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
