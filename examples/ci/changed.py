"""One deliberately broken change per check: what could happen to the model on the way to release.

`lrp check --config changes.toml` fails on every one of them; `changes.toml` says with which check.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import lrp_engine as lrp
from classifier import Classifier, build
from lrp_engine.checks import Given
from lrp_engine.method.call import Call, Coefficients
from lrp_engine.method.op import WeightedSum


@torch.library.custom_op("examples_ci::sharpen", mutates_args=())
def sharpen(images: Tensor) -> Tensor:
    """A fast kernel of our own, of which the engine knows nothing."""
    return images**1.5


@sharpen.register_fake
def _(images: Tensor) -> Tensor:
    return torch.empty_like(images)


class Sharpened(Classifier):
    """Coverage: the new kernel has no rule."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(sharpen(images))


class Contrasted(Classifier):
    """Amplification: two large terms nearly cancel."""

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        return 50 * logits - 49 * logits.relu() + 49 * (-logits).relu()


class Binarised(Classifier):
    """Concentration: only the scale, which is the brightest pixel, carries relevance."""

    def forward(self, images: Tensor) -> Tensor:
        scale = images.flatten(1).max(1).values.view(-1, 1, 1, 1)
        return super().forward(images.sign() * scale)


class Extrapolated(Classifier):
    """Growth: six steps in a row, each of which amplifies only four-fold."""

    def forward(self, images: Tensor) -> Tensor:
        logits = refined = super().forward(images)
        for _ in range(6):
            refined = 4 * refined - 3 * logits
        return refined


def _trained(model: Classifier) -> Classifier:
    model.load_state_dict(build().state_dict())
    return model.eval()


class Hinted(Classifier):
    """Inputs: a second input, of which only the sign counts, so that no relevance reaches it."""

    def forward(self, images: Tensor, hint: Tensor) -> Tensor:
        return super().forward(images) + hint.sign()


def hinted() -> nn.Module:
    return _trained(Hinted())


def with_hints() -> Given:
    images = torch.from_numpy(np.load(Path(__file__).with_name("digits.npz"))["images"])
    return Given((images, torch.ones(len(images), 10)))


def op_without_rule() -> nn.Module:
    return _trained(Sharpened())


def cancelling() -> nn.Module:
    return _trained(Contrasted())


def binarised() -> nn.Module:
    return _trained(Binarised())


def extrapolated() -> nn.Module:
    return _trained(Extrapolated())


def weight_nan() -> nn.Module:
    """Finite: one weight was not written to the file."""
    model = build()
    with torch.no_grad():
        model.features[5].weight[3, 2, 1, 1] = torch.nan
    return model


def bias_blow_up() -> nn.Module:
    """Absorbed: a bias grew until it says more than the image does."""
    model = build()
    with torch.no_grad():
        model.features[0].bias += 2
    return model


def retrained() -> nn.Module:
    """Drift: other weights, and nobody looked at the explanations."""
    model = build()
    with torch.no_grad():
        model.classifier.weight += 0.05 * torch.randn(
            model.classifier.weight.shape, generator=torch.Generator().manual_seed(0)
        )
    return model


@lrp.rule("ours", family=WeightedSum, cites="bach2015, eq. 56")
def forgetful(call: Call[WeightedSum], c: Tensor) -> Coefficients:
    """Residual: a rule of our own that loses 1 % and does not say so."""
    return tuple(0.99 * back for back in call.vjp(c))
