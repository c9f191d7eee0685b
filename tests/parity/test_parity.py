"""Ours against what zennit computed: docs/presets.md says where they differ on purpose."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import lrp_engine as lrp
from tests.support import assert_close, assert_conserves

from .cases import CASES, Case
from .nets import SILENT
from .record import DTYPES, FILE, TARGET, net

# zennit: |sum of R - explained| / |explained|, and its distance from ours, by the largest entry.
GAPS = {
    "functional_residual": (1.0, 3.347),
    "functional_gelu": (0.273, 0.303),
    "reused_module": (0.0, 3.712),
    "functional_relu": (0.0, 0.0),
}

TOLERANCE = {"float64": 1e-10, "float32": 1e-5}


@cache
def recorded() -> dict[str, Tensor]:
    """Weights, inputs and zennit's results."""
    return load_file(FILE)


@cache
def engine(name: str, dtype: str) -> tuple[lrp.Engine, Tensor]:
    """A net captured once, for every preset."""
    model, x = net(name, recorded(), DTYPES[dtype])
    return lrp.Engine(model, x, dynamic=False), x


def ours(case: Case, dtype: str, folder: Path) -> Tensor:
    """Our relevance, or the coefficient where a gradient is compared."""
    file = folder / "case.toml"
    file.write_text(case.ours)
    captured, x = engine(case.net, dtype)
    preset = lrp.load_preset(file, **case.settings)
    ex = captured.with_preset(preset).explain(x, target=TARGET)
    return (ex.coefficient if case.gradient else ex.relevance)["input"].detach()


def is_again(case: Case, dtype: str) -> bool:
    """Whether a case is one of many in single precision: of those, one net stays in the suite."""
    return dtype == "float32" and case.net != "vgg_bn"


@pytest.mark.parametrize(
    "case, dtype",
    [
        pytest.param(case, dtype, marks=[pytest.mark.slow] if is_again(case, dtype) else [])
        for case in CASES
        for dtype in case.dtypes
    ],
    ids=lambda v: v.key if isinstance(v, Case) else v,
)
def test_equals_zennit(case: Case, dtype: str, tmp_path: Path) -> None:
    expected = recorded()[f"{case.key}/{dtype}"]
    assert_close(ours(case, dtype, tmp_path), expected, TOLERANCE[dtype])


@pytest.mark.parametrize("name", ["vgg_bn", "resnet", "up"])
def test_merged_batch_norm_of_zennit_is_off_by_its_eps(name: str) -> None:
    """What is compared above has eps removed; as released it is not the model's own output."""
    mended = recorded()[f"{name}/epsilon_plus/float64"]
    released = recorded()[f"{name}/epsilon_plus/as_released"]
    gap = (mended - released).abs().max() / mended.abs().max()
    assert 1e-6 < gap < 1e-4


def test_a_wrong_preset_differs(tmp_path: Path) -> None:
    """The comparison notices a rule that is nearly right."""
    case = next(case for case in CASES if case.name == "2/gamma" and case.net == "vgg")
    wrong = replace(case, ours=case.ours.replace("gamma = 0.4", "gamma = 0.4001"))
    with pytest.raises(AssertionError):
        assert_close(ours(wrong, "float64", tmp_path), recorded()[f"{case.key}/float64"])


@pytest.mark.parametrize("name", SILENT)
def test_conserves_where_zennit_is_off_without_a_word(name: str) -> None:
    """No bias anywhere, so that relevance has to add up to what is explained, but for epsilon."""
    model, x = net(name, recorded(), torch.float64)
    ex = lrp.Engine(model, x, preset="epsilon", dynamic=False).explain(x, target=TARGET)
    assert_conserves(ex, 1e-5)
    own, found = ex.relevance["input"], recorded()[f"{name}/zennit"]
    gap = ((found.sum(1) - ex.explained).abs() / ex.explained.abs()).max().item()
    distance = ((found - own).abs().max() / own.abs().max()).item()
    assert (gap, distance) == pytest.approx(GAPS[name], abs=0.01)
