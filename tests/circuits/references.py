"""Slow, independent versions: hooks on the user's model, and RelP by detaching in a hand-written
forward pass. Nothing here uses the engine."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import Tensor, nn


def recorded(model: nn.Module, inputs: dict[str, Tensor], paths: list[str]) -> dict[str, Tensor]:
    """Module outputs of one run."""
    found: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(_hook(model, path, lambda out, p=path: found.setdefault(p, out)))
        model(**inputs)
    return found


def patched_output(
    model: nn.Module, inputs: dict[str, Tensor], path: str, index: tuple, donor: Tensor
) -> Tensor:
    """Logits with one entry of a module's output replaced."""

    def change(out: Tensor) -> Tensor:
        out = out.clone()
        out[index] = donor[index]
        return out

    with _hook(model, path, change), torch.no_grad():
        return model(**inputs).logits


def gradients(
    model: nn.Module, inputs: dict[str, Tensor], paths: list[str], metric: Callable
) -> dict[str, Tensor]:
    """The gradient of the summed metric by each module's output, by autograd."""
    kept: dict[str, Tensor] = {}

    def keep(path: str) -> Callable[[Tensor], None]:
        return lambda out: (kept.setdefault(path, out), out.retain_grad())[0:0] and None

    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(_hook(model, path, keep(path)))
        metric(model(**inputs).logits).sum().backward()
    model.zero_grad()
    return {path: out.grad for path, out in kept.items()}


class _hook:
    def __init__(self, model: nn.Module, path: str, act: Callable) -> None:
        self.module, self.act = model.get_submodule(path), act

    def __enter__(self) -> None:
        def call(_module: nn.Module, _args: tuple, out: Tensor | tuple) -> Tensor | tuple | None:
            first = out[0] if isinstance(out, tuple) else out
            new = self.act(first)
            if new is None or new is first or not isinstance(new, Tensor):
                return None
            return (new, *out[1:]) if isinstance(out, tuple) else new

        self.handle = self.module.register_forward_hook(call)

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


def relp_gpt2(
    weights: dict[str, Tensor], ids: Tensor, layers: int, heads: int, metric: Callable, ah: bool
) -> dict[str, Tensor]:
    """RelP coefficients of a GPT-2 at every block's output, by autograd on a forward pass in which
    norm scales, activation gates and (AH-rule) attention weights are detached."""
    outs: dict[str, Tensor] = {}

    def keep(name: str, x: Tensor) -> Tensor:
        x.retain_grad()
        outs[name] = x
        return x

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scale = torch.rsqrt(centred.square().mean(-1, keepdim=True) + 1e-5).detach()
        return centred * scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def affine(x: Tensor, name: str) -> Tensor:
        return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]

    positions = ids.shape[1]
    x = weights["transformer.wte.weight"][ids] + weights["transformer.wpe.weight"][:positions]
    x = x.clone().requires_grad_()
    for i in range(layers):
        block = f"transformer.h.{i}"
        q, k, v = affine(norm(x, f"{block}.ln_1"), f"{block}.attn.c_attn").chunk(3, -1)
        q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        mask = torch.ones(positions, positions).tril().bool()
        attention = scores.masked_fill(~mask, -math.inf).softmax(-1)
        z = ((attention.detach() if ah else attention) @ v).transpose(1, 2).flatten(2)
        x = x + keep(f"{block}.attn", affine(z, f"{block}.attn.c_proj"))
        h = affine(norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc")
        gate = 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        x = x + keep(f"{block}.mlp", affine(h * gate.detach(), f"{block}.mlp.c_proj"))
    logits = norm(x, "transformer.ln_f") @ weights["transformer.wte.weight"].T
    metric(logits).sum().backward()
    return {name: out.grad for name, out in outs.items()}
