"""torchvision's ops on regions have its own derivative, and relevance that adds up.

They are compiled for one build of torch, so the tests run where that build is installed.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lrp_engine import Engine
from lrp_engine.kernels.deformable import deform_conv
from tests.support import assert_close, draw


def has_ops() -> bool:
    try:
        import torchvision.ops  # noqa: F401
    except (ImportError, RuntimeError):
        return False
    return True


pytestmark = pytest.mark.skipif(not has_ops(), reason="torchvision of this torch is not installed")

X = draw(2, 8, 9, 10)
REGIONS = torch.tensor([[0, 1, 1, 6, 7], [1, 0, 2, 8, 8], [1, 3.3, 2.2, 9, 7.5]]).double()
OFFSET, MASK = draw(2, 36, 5, 5, seed=1), draw(2, 18, 5, 5, seed=2).abs()
WEIGHT, BIAS = draw(6, 4, 3, 3, seed=3), draw(6, seed=4)


def deformed(x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
    from torchvision.ops import deform_conv2d

    out: Tensor = deform_conv2d(x, offset, WEIGHT, BIAS, stride=2, padding=1, mask=mask)
    return out


def region_ops() -> dict[str, Callable[[Tensor], Tensor]]:
    ops = torch.ops.torchvision
    return {
        "roi_align": lambda x: ops.roi_align(x, REGIONS, 0.9, 3, 3, 2, True),
        "roi_pool": lambda x: ops.roi_pool(x, REGIONS, 0.9, 3, 3)[0],
        "ps_roi_align": lambda x: ops.ps_roi_align(x, REGIONS, 0.9, 2, 2, 2)[0],
        "ps_roi_pool": lambda x: ops.ps_roi_pool(x, REGIONS, 0.9, 2, 2)[0],
    }


@pytest.mark.parametrize("name", ["roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool"])
def test_regions_pass_on_what_they_read(name: str) -> None:
    function = region_ops()[name]
    c = draw(*function(X).shape, seed=5)
    engine = Engine(lambda x: function(x), X, preset="attnlrp", dynamic=False)
    result = engine.explain(X, lambda out: (out * c).sum(), ledger=True)
    result.check()
    x = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((function(x) * c).sum(), x)
    assert_close(result.relevance["x"], gradient * X)


def test_a_deformable_convolution_has_torchvisions_derivative() -> None:
    out = deformed(X, OFFSET, MASK)
    own = deform_conv(X, WEIGHT, OFFSET, MASK, BIAS, (2, 2), (1, 1), (1, 1), 2, 2)
    assert_close(own, out, 1e-13)
    c, inputs = draw(*out.shape, seed=5), (X, OFFSET, MASK)
    engine = Engine(deformed, inputs, preset="gradient", dynamic=False)
    result = engine.explain(inputs, lambda out: (out * c).sum(), ledger=True)
    result.check()
    leaves = [x.clone().requires_grad_() for x in inputs]
    gradients = torch.autograd.grad((deformed(*leaves) * c).sum(), leaves)
    for found, gradient in zip(result.coefficient.values(), gradients, strict=True):
        assert_close(found, gradient)


def test_boxes_that_are_kept_choose() -> None:
    boxes = torch.tensor([[0, 0, 4, 4], [1, 1, 5, 5], [8, 8, 9, 9]]).double()

    def best(x: Tensor) -> Tensor:
        scores = x.flatten(1)[0, :3]
        return scores[torch.ops.torchvision.nms(boxes, scores, 0.3)].sum().expand(2, 1)

    result = Engine(best, X, preset="attnlrp", dynamic=False).explain(X, 0)
    assert (result.relevance["x"][0] != 0).sum() == 2
