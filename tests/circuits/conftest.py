"""The IOI model that ships with the package, captured once."""

import pytest

from lrp_engine.circuits import CircuitModel, Pairs
from lrp_engine.demo.ioi import ioi_pairs, load_ioi_model

pytest.importorskip("transformers")


@pytest.fixture(scope="session")
def hf_model():  # type: ignore[no-untyped-def]
    """The user's own model, in float64."""
    return load_ioi_model().double()


@pytest.fixture(scope="session")
def pairs() -> Pairs:
    return ioi_pairs(count=3)


@pytest.fixture(scope="session")
def model(hf_model, pairs: Pairs) -> CircuitModel:  # type: ignore[no-untyped-def]
    return CircuitModel(hf_model, pairs.clean)
