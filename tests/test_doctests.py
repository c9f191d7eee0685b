"""The examples in docstrings run and print what they say."""

import doctest
import importlib
import importlib.util
import pkgutil

import pytest

import lrp_engine


def modules_with_examples() -> list[str]:
    """Names of the package's modules, rules included, that have examples in docstrings."""
    finder = doctest.DocTestFinder()
    names = [m.name for m in pkgutil.walk_packages(lrp_engine.__path__, "lrp_engine.")]
    if importlib.util.find_spec("triton") is None:  # torch brings it for GPUs only
        names = [name for name in names if not name.endswith("_triton")]
    loaded = [importlib.import_module(n) for n in names]
    return [m.__name__ for m in loaded if any(t.examples for t in finder.find(m))]


def test_examples_are_found() -> None:
    assert "lrp_engine.engine" in modules_with_examples()


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_of(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
