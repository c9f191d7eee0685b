"""Damaged ONNX files give an error of ours, or what ONNX's reference says; never anything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.conftest import few, many
from tests.fuzz.onnx_mutations import damaged_files
from tests.fuzz.onnx_oracle import serving
from tests.fuzz.onnx_seeds import SEEDS
from tests.fuzz.outcomes import Outcome, judge


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.__name__)
def test_sound_files_are_served(seed, folder):
    assert judge(serving(seed().SerializeToString(), folder, explained=False))[0] is Outcome.SERVED


@few(120)
@given(data=damaged_files(), sixth=st.integers(0, 5))
def test_damaged_files(data, sixth, folder, judged):
    judged(serving(data, folder, explained=sixth == 5))


@pytest.mark.slow
@many(3)
@given(data=damaged_files(), sixth=st.integers(0, 5))
def test_many_damaged_files(data, sixth, folder, judged):
    judged(serving(data, folder, explained=sixth == 5))
