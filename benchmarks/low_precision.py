"""Relevance in low precision against float64, for six small architectures.

    python -m benchmarks.low_precision

The reference is the same (rounded) weights and inputs in float64. Error: |R - R64| / |R64| in the
2-norm, and the correlation of the two. int8: weights of linear layers held as int8 with a scale per
row and turned back to float32 in the forward pass.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import lrp_engine as lrp

KINDS = ("bfloat16", "float16", "autocast", "int8")


class Int8Linear(nn.Module):
    """A linear layer whose weight is int8 times a scale per row."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scale = weight.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
        self.register_buffer("weight", (weight / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """x W^T + b with W = scale * int8."""
        return nn.functional.linear(x, self.weight.to(x.dtype) * self.scale.to(x.dtype), self.bias)


class Autocast(nn.Module):
    """A model that computes under autocast to bfloat16."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Tensor) -> Tensor:
        """The logits."""
        with torch.autocast("cpu", torch.bfloat16):
            return self.model(**inputs).logits


def architectures() -> dict[str, Callable[[], tuple[nn.Module, dict[str, Tensor]]]]:
    """Two layers each, random weights."""
    import transformers as t

    ids = {"input_ids": torch.randint(0, 60, (2, 12))}
    pixels = {"pixel_values": torch.randn(2, 3, 32, 32)}
    small: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    words: dict[str, Any] = {"vocab_size": 60, "use_cache": False, "intermediate_size": 128}
    gpt2 = t.GPT2Config(n_layer=2, n_embd=64, n_head=4, vocab_size=60, use_cache=False)
    gpt2.bos_token_id = gpt2.eos_token_id = None
    llama = t.LlamaConfig(**small, **words, num_key_value_heads=2)
    qwen = t.Qwen3Config(**small, **words, num_key_value_heads=2, head_dim=16)
    bert = t.BertConfig(**small, vocab_size=60, intermediate_size=128, num_labels=5)
    vit = t.ViTConfig(**small, intermediate_size=128, image_size=32, patch_size=8, num_labels=5)
    resnet = t.ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32], depths=[2, 2], layer_type="basic", num_labels=5
    )
    return {
        "GPT-2": lambda: (t.GPT2LMHeadModel(gpt2), ids),
        "Llama": lambda: (t.LlamaForCausalLM(llama), ids),
        "Qwen 3": lambda: (t.Qwen3ForCausalLM(qwen), ids),
        "BERT": lambda: (t.BertForSequenceClassification(bert), ids),
        "ViT": lambda: (t.ViTForImageClassification(vit), pixels),
        "ResNet": lambda: (t.ResNetForImageClassification(resnet), pixels),
    }


def converted(model: nn.Module, kind: str) -> nn.Module:
    """The model in one of KINDS, in eval mode."""
    model = copy.deepcopy(model).eval()
    if kind == "int8":
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                if type(child) is nn.Linear:
                    setattr(parent, name, Int8Linear(child))
        return model.eval()
    return model if kind == "autocast" else model.to(getattr(torch, kind))


def relevance(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """Of class 1, at the last position of a sequence."""
    with torch.no_grad():
        found = model(**inputs)
    logits = found if isinstance(found, Tensor) else found.logits
    position = -1 if logits.dim() == 3 else None
    engine = lrp.Engine(model, inputs, dynamic=False)
    return engine.explain(inputs, 1, position=position).relevance["input"]


def like(inputs: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Floating-point inputs in another dtype."""
    return {n: t.to(dtype) if t.is_floating_point() else t for n, t in inputs.items()}


def errors(model: nn.Module, inputs: dict[str, Tensor], kind: str) -> tuple[float, float, bool]:
    """(relative error, correlation, all finite) against float64."""
    low = converted(model, kind)
    dtype = torch.float32 if kind in ("autocast", "int8") else getattr(torch, kind)
    given = like(inputs, dtype)
    exact = relevance(copy.deepcopy(low).double(), like(given, torch.float64)).flatten()
    found = relevance(Autocast(low).eval() if kind == "autocast" else low, given).flatten()
    error = float((found.double() - exact).norm() / exact.norm())
    both = torch.stack([found.double(), exact])
    return error, float(torch.corrcoef(both)[0, 1]), bool(torch.isfinite(found).all())


def main() -> None:
    """Prints a Markdown table."""
    print("| model | " + " | ".join(KINDS) + " |")
    for name, make in architectures().items():
        torch.manual_seed(0)
        model, inputs = make()
        cells = []
        for kind in KINDS:
            error, correlation, finite = errors(model.eval(), inputs, kind)
            cells.append(f"{error:.1e} ({correlation:.5f})" + ("" if finite else " NOT FINITE"))
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
