"""The same network gives the same relevance from its ONNX file as from torch itself.

Each network is exported by each exporter, captured both ways and explained; outputs also have to
equal onnxruntime's.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp

from .compare import by_onnxruntime

Example = tuple[nn.Module, tuple[Tensor, ...]]


class Cnn(nn.Sequential):
    """Convolution, batch norm, activations that older opsets spell out, both poolings."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.SiLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, stride=2, groups=2),
            nn.GELU(),
            nn.AvgPool2d(2, stride=1, padding=1),
            nn.Hardswish(),
            nn.Flatten(),
            nn.Linear(96, 3),
        )


def cnn() -> Example:
    return Cnn(), (torch.randn(2, 1, 16, 16),)


class Block(nn.Module):
    """Embedding, attention, layer norms, a gelu of the kind that older opsets spell out."""

    def __init__(self, causal: bool = True) -> None:
        super().__init__()
        self.causal = causal
        self.words = nn.Embedding(11, 8)
        self.before, self.after = nn.LayerNorm(8), nn.LayerNorm(8)
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids)
        q, k, v = self.qkv(self.before(x)).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.down(nn.functional.gelu(self.up(self.after(x)), approximate="tanh"))


def block() -> Example:
    return Block(), (torch.randint(0, 11, (2, 5)),)


class Logits(nn.Module):
    """A model of the transformers library with one tensor as its output."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).logits


def bert() -> Example:
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"vocab_size": 19, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1}
    config = BertConfig(**sizes, num_attention_heads=2, max_position_embeddings=16)
    return Logits(BertForSequenceClassification(config)), (torch.randint(0, 19, (2, 6)),)


def llama() -> Example:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"vocab_size": 19, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1}
    config = LlamaConfig(**sizes, num_attention_heads=2, num_key_value_heads=1, use_cache=False)
    return Logits(LlamaForCausalLM(config)), (torch.randint(0, 19, (2, 6)),)


def vit() -> Example:
    from transformers import ViTConfig, ViTForImageClassification

    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1}
    config = ViTConfig(**sizes, num_attention_heads=2, image_size=16, patch_size=8, num_labels=3)
    return Logits(ViTForImageClassification(config)), (torch.randn(2, 3, 16, 16),)


def to_onnx(
    model: nn.Module, inputs: tuple[Tensor, ...], exporter: str, folder: Path, **settings: Any
) -> Path:
    """`exporter` is the kind and the opset."""
    kind, opset = exporter.split()
    path = folder / "model.onnx"
    dynamo = kind == "dynamo"
    extra: dict[str, Any] = {"verbose": False} if dynamo else {}
    extra |= settings
    torch.onnx.export(model, inputs, path, dynamo=dynamo, opset_version=int(opset), **extra)
    return path


CASES = [
    (cnn, "dynamo 20"),
    (cnn, "legacy 13"),
    (block, "dynamo 18"),
    (block, "legacy 17"),
    (bert, "dynamo 20"),
    (bert, "legacy 17"),
    (llama, "dynamo 20"),
    (vit, "dynamo 18"),
]


SLOW = {"bert dynamo 20", "llama dynamo 20", "vit dynamo 18", "block legacy 17"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "build, exporter",
    [
        # The dearer ones are left to `pytest -m slow`.
        pytest.param(b, e, marks=[pytest.mark.slow] if f"{b.__name__} {e}" in SLOW else [])
        for b, e in CASES
    ],
    ids=[f"{b.__name__} {e}" for b, e in CASES],
)
def test_relevance_is_the_same(build: Callable[[], Example], exporter: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, inputs = build()
    model.eval()
    path = to_onnx(model, inputs, exporter, tmp_path)
    for preset in ("attnlrp", "epsilon"):
        native = lrp.Engine(model, inputs, preset=preset, dynamic=False)
        imported = lrp.Engine(path, inputs, preset=preset, dynamic=False)
        expected = native.explain(inputs, target=_target(native.forward(inputs).output))
        got = imported.explain(inputs, target=_target(imported.forward(inputs).output))
        got.check()
        (want,), (have,) = expected.relevance.values(), got.relevance.values()
        assert float((want - have).abs().max() / want.abs().max()) < 1e-5
    (first, *_) = imported.forward(inputs).output.values()
    names = [port.name for port in imported.captured.inputs]
    arrays = {n: t.numpy() for n, t in zip(names, inputs, strict=True)}
    np.testing.assert_allclose(first.numpy(), by_onnxruntime(path, arrays)[0], atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_only_norms_that_the_exporter_folds_away_make_a_difference(tmp_path: Path) -> None:
    """A stabiliser belongs to a sum, and with norms folded in the sums are others."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3))
    x = torch.randn(3, 1, 8, 8)
    model(10 * torch.randn(64, 1, 8, 8) + 3)  # statistics of other numbers
    model, x = model.double().eval(), x.double()
    epsilon = lrp.load_preset("epsilon", epsilon=0.1)
    (expected,) = _of_all(lrp.Engine(model, x, preset=epsilon, dynamic=False), x)
    apart = {}
    for kept in (True, False):
        mode = torch.onnx.TrainingMode.PRESERVE if kept else torch.onnx.TrainingMode.EVAL
        path = to_onnx(model, (x,), "legacy 17", tmp_path, training=mode)
        (found,) = _of_all(lrp.Engine(path, x, preset=epsilon, dynamic=False), x)
        apart[kept] = float((found - expected).abs().max() / expected.abs().max())
    assert apart[True] < 1e-12
    assert apart[False] > 1e-3


def _of_all(engine: lrp.Engine, inputs: Tensor) -> list[Tensor]:
    """Relevance of all outputs, weighted."""
    target = _target(engine.forward(inputs).output).to(inputs.dtype)
    return list(engine.explain(inputs, target=target).relevance.values())


def _target(output: Any) -> Tensor:
    """Weights for every entry, so that nothing is left out of the comparison."""
    first = output
    while not isinstance(first, Tensor):
        first = next(iter(first.values() if isinstance(first, dict) else first))
    generator = torch.Generator().manual_seed(1)
    return torch.randn(first.shape, generator=generator)
