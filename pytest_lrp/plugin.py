"""Options, markers and fixtures; registered by installing lrp-engine.

    pytest --lrp-model=my_package.models:classifier --lrp-inputs=batch.npz

runs the contract checks of `lrp check` as tests, without a test file; so does `--lrp-config` (or
`lrp_config` in the ini file) with a file of checks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from . import contract

if TYPE_CHECKING:
    from lrp_engine import Engine, Explanation


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and the ini setting."""
    group = parser.getgroup("lrp", "layer-wise relevance propagation")
    group.addoption("--lrp-model", metavar="MODEL", help="module:factory, .pt2 or .onnx to check")
    group.addoption("--lrp-inputs", metavar="INPUTS", help="arrays, images, or module:function")
    group.addoption("--lrp-target", metavar="N", help="a class, or one per sample: 3 or 3,5,1")
    group.addoption("--lrp-position", metavar="N", type=int, help="position of the target")
    group.addoption(
        "--lrp-preset",
        metavar="NAME",
        action="append",
        default=[],
        help="preset to check with and to parametrise lrp_preset over; may be given repeatedly",
    )
    group.addoption("--lrp-golden", metavar="PATH", help="golden result of --lrp-model")
    group.addoption("--lrp-config", metavar="FILE", help="file of checks, as for lrp check")
    group.addoption("--lrp-update", action="store_true", help="write golden results anew")
    parser.addini("lrp_config", "file of checks that is run with every whole test run", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    config.addinivalue_line("markers", "lrp: a contract check of lrp-engine")
    config.addinivalue_line(
        "markers", "lrp_presets(*names): run the test once per preset, as fixture lrp_preset"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add one test per check that the options ask for."""
    items.extend(contract.items(session, config))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `lrp_preset` once per preset."""
    if "lrp_preset" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("lrp_presets")
    named = list(marker.args) if marker else metafunc.config.getoption("--lrp-preset")
    metafunc.parametrize("lrp_preset", named or ["attnlrp"])


@pytest.fixture
def assert_covered() -> Callable[..., Engine]:
    """Return `lrp_engine.checks.asserts.assert_covered`: every live op has a rule."""
    from lrp_engine.checks import asserts

    return asserts.assert_covered


@pytest.fixture
def assert_conserved() -> Callable[..., None]:
    """Return `lrp_engine.checks.asserts.assert_conserved`: every op's account balances."""
    from lrp_engine.checks import asserts

    return asserts.assert_conserved


@pytest.fixture
def assert_same_explanation(
    request: pytest.FixtureRequest, lrp_golden: Path
) -> Callable[..., None]:
    """Return `lrp_engine.checks.asserts.assert_same_explanation`.

    Without an expected explanation it compares with the file `lrp_golden`, which `--lrp-update`
    writes.
    """
    from lrp_engine.checks import asserts

    def compare(
        found: Explanation, expected: Explanation | str | Path | None = None, **limits: float
    ) -> None:
        __tracebackhide__ = True
        path = lrp_golden if expected is None else expected
        if request.config.getoption("--lrp-update") and isinstance(path, (str, Path)):
            found.save(path)
        asserts.assert_same_explanation(found, path, **limits)

    return compare


@pytest.fixture
def lrp_golden(request: pytest.FixtureRequest) -> Path:
    """Return this test's golden explanation, golden/TEST.safetensors beside the test file."""
    name = re.sub(r"[^\w.-]+", "-", request.node.name).strip("-")
    return request.path.parent / "golden" / f"{name}.safetensors"
