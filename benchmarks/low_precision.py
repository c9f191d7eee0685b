"""Relevance in low precision against float64, for seven small architectures.

    python -m benchmarks.low_precision

The reference is the same (rounded) weights and inputs in float64. Error: |R - R64| / |R64| in the
2-norm, and the correlation of the two; "gradient" is the same for the plain gradient times the
input, which tells what the number format alone does to anything that is carried backward. int8:
weights of linear layers and convolutions held as int8 with a scale per output and turned back to
float32 in the forward pass.

The second table holds what a ResNet chooses, the open rectifiers and the winners of max pooling, at
the choices of float64.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import lrp_engine as lrp

KINDS = ("bfloat16", "float16", "autocast", "int8")


def as_int8(weight: Tensor, output: int) -> tuple[Tensor, Tensor]:
    """(int8 weight, scale): one scale per entry of the output axis."""
    others = [axis for axis in range(weight.dim()) if axis != output]
    scale = weight.detach().abs().amax(others, keepdim=True).clamp_min(1e-12) / 127
    return (weight.detach() / scale).round().to(torch.int8), scale


class Int8(nn.Module):
    """A layer whose weight is int8 times a scale per output."""

    rounded: Tensor
    scale: Tensor

    def __init__(self, layer: nn.Module, output: int = 0) -> None:
        super().__init__()
        rounded, scale = as_int8(layer.weight, output)
        self.register_buffer("rounded", rounded)
        self.register_buffer("scale", scale)
        self.bias = layer.bias

    @property
    def weight(self) -> Tensor:
        """scale * int8 in the type that the model computes in."""
        return self.rounded.to(self.scale.dtype) * self.scale


class Int8Linear(Int8):
    """nn.Linear."""

    def forward(self, x: Tensor) -> Tensor:
        """x W^T + b."""
        return nn.functional.linear(x, self.weight, self.bias)


class Int8Conv1D(Int8):
    """GPT-2's linear layer, whose weight is transposed."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__(layer, output=1)

    def forward(self, x: Tensor) -> Tensor:
        """x W + b."""
        return x @ self.weight + self.bias


class Int8Conv2d(Int8):
    """nn.Conv2d."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__(layer)
        self.how = (layer.stride, layer.padding, layer.dilation, layer.groups)

    def forward(self, x: Tensor) -> Tensor:
        """The convolution with scale * int8."""
        return nn.functional.conv2d(x, self.weight, self.bias, *self.how)


INT8 = {"Linear": Int8Linear, "Conv1D": Int8Conv1D, "Conv2d": Int8Conv2d}


class Held(nn.Module):
    """Stands for a module that chooses, with its choice given."""

    choice: Tensor

    def __init__(self, choice: Tensor) -> None:
        super().__init__()
        self.register_buffer("choice", choice)


class HeldRelu(Held):
    """Open where it is told to be."""

    def forward(self, x: Tensor) -> Tensor:
        """x or zero."""
        return torch.where(self.choice, x, torch.zeros_like(x))


class HeldMax(Held):
    """Max pooling whose winners are given."""

    def forward(self, x: Tensor) -> Tensor:
        """The entries at the winners' places."""
        return x.flatten(2).gather(2, self.choice.flatten(2)).view(self.choice.shape)


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
    mamba = t.MambaConfig(hidden_size=64, num_hidden_layers=2, vocab_size=60, use_cache=False)
    return {
        "GPT-2": lambda: (t.GPT2LMHeadModel(gpt2), ids),
        "Llama": lambda: (t.LlamaForCausalLM(llama), ids),
        "Qwen 3": lambda: (t.Qwen3ForCausalLM(qwen), ids),
        "Mamba": lambda: (t.MambaForCausalLM(mamba), ids),
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
                if type(child).__name__ in INT8:
                    setattr(parent, name, INT8[type(child).__name__](child))
        return model.eval()
    return model if kind == "autocast" else model.to(getattr(torch, kind))


def logits_of(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """Scores, whether the model returns them bare or in a structure."""
    found = model(**inputs)
    return found if isinstance(found, Tensor) else found.logits


def relevance(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """Of class 1, at the last position of a sequence."""
    with torch.no_grad():
        position = -1 if logits_of(model, inputs).dim() == 3 else None
    engine = lrp.Engine(model, inputs, dynamic=False)
    return engine.explain(inputs, 1, position=position).relevance["input"]


def gradient(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """Gradient of the same score times the input (the embeddings of token ids)."""
    if "input_ids" in inputs:
        inner = model.model if isinstance(model, Autocast) else model
        x = inner.get_input_embeddings()(inputs["input_ids"]).detach().requires_grad_()
        logits = logits_of(model, {"inputs_embeds": x})
    else:
        x = inputs["pixel_values"].detach().requires_grad_()
        logits = logits_of(model, {"pixel_values": x})
    score = (logits[:, -1] if logits.dim() == 3 else logits)[:, 1].sum()
    (found,) = torch.autograd.grad(score, x)
    # Multiplied in float32, as relevance is.
    found = found.to(torch.promote_types(x.dtype, torch.float32)) * x.detach()
    return found


def like(inputs: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Floating-point inputs in another dtype."""
    return {n: t.to(dtype) if t.is_floating_point() else t for n, t in inputs.items()}


def distance(found: Tensor, exact: Tensor) -> tuple[float, float]:
    """(relative error in the 2-norm, correlation)."""
    both = torch.stack([found.double().flatten(), exact.double().flatten()])
    error = (both[0] - both[1]).norm() / both[1].norm()
    return float(error), float(torch.corrcoef(both)[0, 1])


Pair = tuple[nn.Module, dict[str, Tensor]]


def low_and_exact(model: nn.Module, inputs: dict[str, Tensor], kind: str) -> tuple[Pair, Pair]:
    """A model and inputs in low precision, and the same rounded numbers in float64."""
    low = converted(model, kind)
    given = like(inputs, torch.float32 if kind in ("autocast", "int8") else getattr(torch, kind))
    exact = copy.deepcopy(low).double(), like(given, torch.float64)
    return (Autocast(low).eval() if kind == "autocast" else low, given), exact


def chosen(model: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """By module name: where rectifiers are open, which entries win max pooling."""
    found: dict[str, Tensor] = {}

    def note(name: str, module: nn.Module, x: Tensor) -> None:
        if isinstance(module, nn.MaxPool2d):
            sizes = module.kernel_size, module.stride, module.padding
            found[name] = nn.functional.max_pool2d(x, *sizes, return_indices=True)[1]
        else:
            found[name] = x > 0

    handles = [
        module.register_forward_pre_hook(lambda m, x, n=name: note(n, m, x[0]))
        for name, module in model.named_modules()
        if isinstance(module, nn.ReLU | nn.MaxPool2d)
    ]
    with torch.no_grad():
        model(**inputs)
    for handle in handles:
        handle.remove()
    return found


def held(model: nn.Module, choices: dict[str, Tensor]) -> nn.Module:
    """The model with choices given."""
    model = copy.deepcopy(model)
    for name, choice in choices.items():
        model.set_submodule(name, (HeldRelu if choice.dtype == torch.bool else HeldMax)(choice))
    return model.eval()


def choices_row(model: nn.Module, inputs: dict[str, Tensor], kind: str) -> str:
    """Flipped choices, and errors without and with float64's choices."""
    (low, given), (high, wide) = low_and_exact(model, inputs, kind)
    mine, true = chosen(low, given), chosen(high, wide)
    flipped = {False: 0, True: 0}
    for name, choice in true.items():
        flipped[choice.dtype == torch.bool] += int((mine[name] != choice).sum())
    exact, slope = relevance(high, wide), gradient(high, wide)
    fixed = held(low, true)
    errors = [
        distance(relevance(low, given), exact)[0],
        distance(gradient(low, given), slope)[0],
        distance(relevance(fixed, given), exact)[0],
        distance(gradient(fixed, given), slope)[0],
    ]
    cells = [str(flipped[True]), str(flipped[False]), *(f"{error:.1e}" for error in errors)]
    return " | ".join(cells)


def main() -> None:
    """Prints two Markdown tables."""
    torch.manual_seed(0)
    print("| model | " + " | ".join(f"{kind} | gradient" for kind in KINDS) + " |")
    print("|---|" + "---|" * 2 * len(KINDS))
    for name, make in architectures().items():
        torch.manual_seed(0)
        model, inputs = make()
        cells = []
        for kind in KINDS:
            low, exact = low_and_exact(model.eval(), inputs, kind)
            found = relevance(*low)
            error, correlation = distance(found, relevance(*exact))
            finite = "" if bool(torch.isfinite(found).all()) else " NOT FINITE"
            cells.append(f"{error:.1e} ({correlation:.5f}){finite}")
            cells.append(f"{distance(gradient(*low), gradient(*exact))[0]:.1e}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    print(
        "\n| ResNet | rectifiers flipped | winners flipped | error | gradient | held | gradient |"
    )
    print("|---|---|---|---|---|---|---|")
    for seed in range(3):
        torch.manual_seed(seed)
        model, inputs = architectures()["ResNet"]()
        for kind in ("bfloat16", "float16"):
            print(
                f"| {kind}, draw {seed} | {choices_row(model.eval(), inputs, kind)} |", flush=True
            )


if __name__ == "__main__":
    main()
