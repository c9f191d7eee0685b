"""How the other tools are called: each function gives a run that returns relevance at the input.

None of them is a requirement of this project; imports happen where they are used.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.parity.record import Stacked, zennit

CLASS = 7
Explain = Callable[[], Tensor]


def logits(output: Any) -> Tensor:
    """Scores of a model: of the last position for a text."""
    found: Tensor = output if isinstance(output, Tensor) else output.logits
    return found[:, -1] if found.dim() == 3 else found


def explain_zennit(
    of: Callable[..., nn.Module], x: Tensor, name: str, box: tuple[float, float]
) -> Explain:
    """A composite, with batch norms merged as ours are folded; hooks are registered once."""
    settings: dict[str, Any] = {"canonizers": [zennit("canonizers").SequentialMergeBatchNorm()]}
    if name.endswith("box"):
        settings |= {k: torch.full_like(x, v) for k, v in zip(("low", "high"), box, strict=True)}
    composite = zennit("composites").COMPOSITES[name](**settings)
    model = of(Stacked)
    composite.register(model)

    def run() -> Tensor:
        leaf = x.detach().requires_grad_()
        scores = logits(model(leaf))
        seed = torch.zeros_like(scores)
        seed[:, CLASS] = scores[:, CLASS].detach()
        (relevance,) = torch.autograd.grad(scores, leaf, seed)
        return relevance

    return run


def explain_captum(of: Callable[..., nn.Module], x: Tensor) -> Explain:
    """Its LRP with its default rules; it registers and removes its hooks at every call."""
    from captum.attr import LRP
    from captum.attr._utils.custom_modules import Addition_Module

    tool = LRP(of(Addition_Module))
    return lambda: tool.attribute(x, target=CLASS)


def explain_autolrp(
    model: nn.Module, x: Tensor, rules: dict[str, Any] | None = None, preset: str = ""
) -> Explain:
    """Its default table, with rules or its AttnLRP fragment on top."""
    import autolrp

    table = {**autolrp.BASE, **(autolrp.ATTNLRP if preset == "attnlrp" else {}), **(rules or {})}

    def run() -> Tensor:
        leaf = autolrp.tensor(x)
        score = logits(model(leaf))[0, CLASS]
        score.lrp(rule=table)
        # It hands out 1, where the others hand out the score.
        found: Tensor = leaf.relevance * score.detach().as_subclass(Tensor)
        return found

    return run


class Interface(dict[str, Any]):
    """Attention functions by name, as models of transformers 5 ask for them."""

    def get_interface(self, name: str, default: Any) -> Any:
        """The function of that name."""
        return self.get(name, default)


def lxt_patches() -> list[tuple[Any, str, Any]]:
    """What LXT sets for AttnLRP on GPT-2 and ViT: (class or module, attribute, value).

    Its release 2.1 does not import beside transformers 5.23 or without torchvision: it copies code
    of other models that has moved since. Stand-ins for those names let its rules be loaded, which
    are put where its own map for GPT-2 puts them; it has no map for the ViT of transformers, so
    that gets the same rules.
    """
    patches = lxt_module("patches")
    from transformers.models.gpt2 import modeling_gpt2
    from transformers.models.vit import modeling_vit

    identity = lxt_module("rules").identity_rule_implicit

    def gpt2_mlp(self: Any, hidden: Tensor) -> Tensor:
        return self.c_proj(identity(self.act, self.c_fc(hidden)))

    def vit_mlp(self: Any, hidden: Tensor) -> Tensor:
        return self.fc2(identity(self.activation_fn, self.fc1(hidden)))

    places = [
        (modeling_gpt2.GPT2MLP, "forward", gpt2_mlp),
        (modeling_vit.ViTMLP, "forward", vit_mlp),
        (nn.LayerNorm, "forward", patches.layer_norm_forward),
        (nn.Dropout, "forward", patches.dropout_forward),
    ]
    for module in (modeling_gpt2, modeling_vit):
        functions = module.ALL_ATTENTION_FUNCTIONS
        wrapped = {k: patches.wrap_attention_forward(v) for k, v in functions.items()}
        places.append((module, "ALL_ATTENTION_FUNCTIONS", Interface(wrapped)))
    return places


def lxt_module(name: str) -> Any:
    """A module of LXT, with stand-ins for names that it imports and that are not used here."""
    import transformers.pytorch_utils as moved

    for missing in ("find_pruneable_heads_and_indices", "prune_conv1d_layer"):
        if not hasattr(moved, missing):
            setattr(moved, missing, None)
    path = "torchvision.models.vision_transformer"
    if path not in sys.modules:
        parts = path.split(".")
        for i in range(len(parts)):
            full = ".".join(parts[: i + 1])
            sys.modules.setdefault(full, types.ModuleType(full))
        vision: Any = sys.modules[path]
        vision.nn = nn
        models: Any = sys.modules["torchvision.models"]
        models.vision_transformer = vision
    return importlib.import_module(f"lxt.efficient.{name}")
