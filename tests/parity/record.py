"""Records what zennit computes, for the tests to compare with; they need no zennit themselves.

zennit 0.5.1 asks for torchvision when it is installed and when it is imported, for the names of
classes that are not used here. So:

    pip install --no-deps zennit==0.5.1
    python -m tests.parity.record            # writes tests/parity/zennit.safetensors
    python -m tests.parity.record --check    # computes anew and compares with that file
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import sys
import types
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .cases import CASES, Case
from .nets import NETS, SILENT, Plus, set_apart

FILE = Path(__file__).with_name("zennit.safetensors")
DTYPES = {"float64": torch.float64, "float32": torch.float32}
TARGET = 1
VERSION = "0.5.1"


def zennit(name: str) -> Any:
    """A module of zennit, with stand-ins for the class names that it imports from torchvision."""
    if "torchvision" not in sys.modules:
        wanted = {
            "torchvision": [],
            "torchvision.models": [],
            "torchvision.models.resnet": ["Bottleneck", "BasicBlock"],
        }
        for path, classes in wanted.items():
            module = types.ModuleType(path)
            for kind in classes:
                setattr(module, kind, type(kind, (nn.Module,), {}))
            sys.modules[path] = module
    return importlib.import_module(f"zennit.{name}")


class Stacked(nn.Module):
    """A residual sum as zennit wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = zennit("layer").Sum(dim=-1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.sum(torch.stack([a, b], -1))


def settings_of(given: Any) -> dict[str, Any]:
    """Bounds per channel become tensors that broadcast over a sample of any rank."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}


def bounds(settings: dict[str, Any], x: Tensor) -> dict[str, Any]:
    """Lists of bounds as tensors of the shape (1, channels, 1, ...)."""
    shape = (1, -1) + (1,) * (x.dim() - 2)
    return {
        k: torch.tensor(v, dtype=x.dtype).view(shape) if isinstance(v, list) else v
        for k, v in settings.items()
    }


def composite_of(case: Case, x: Tensor) -> Any:
    """zennit's composite for a case."""
    composites, rules = zennit("composites"), zennit("rules")
    merge = [zennit("canonizers").SequentialMergeBatchNorm()] if case.merged else []
    if case.composite is None:
        return zennit("core").Composite(canonizers=merge)
    base = composites.COMPOSITES[case.composite]
    whole = base(**bounds(settings_of(case.settings), x), canonizers=merge)
    if not case.rules:
        return whole
    named = [
        ([layer], getattr(rules, rule)(**bounds(settings_of(given), x)))
        for layer, (rule, given) in case.rules.items()
    ]
    return composites.MixedComposite([composites.NameMapComposite(named), whole])


def without_eps(model: nn.Module) -> None:
    """Makes merged batch norms the identity that zennit means them to be.

    It sets mean 0, variance 1, weight 1 and bias 0, but leaves eps: they still divide by
    sqrt(1 + eps), so that the merged model's output is not the model's.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eps = 0.0


def attributed(
    model: nn.Module, composite: Any, x: Tensor, gradient: bool = False, mended: bool = False
) -> Tensor:
    """Relevance of the target's output, or the modified gradient, at the input."""
    x = x.clone().requires_grad_()
    with composite.context(model) as hooked:
        if mended:
            without_eps(hooked)
        out = hooked(x)
        seed = torch.zeros_like(out)
        seed[:, TARGET] = 1.0 if gradient else out[:, TARGET].detach()
        (found,) = torch.autograd.grad(out, x, seed)
    return found.detach()


def drawn() -> dict[str, Tensor]:
    """Weights and inputs of all nets, in float64."""
    generator = torch.Generator().manual_seed(7)
    builders = {name: (lambda b=b: b(Plus), shape) for name, (b, shape) in NETS.items()}
    found = {}
    for name, (build, shape) in {**builders, **SILENT}.items():
        model = set_apart(build().double(), generator)
        weights = {k: v for k, v in model.state_dict().items() if v.is_floating_point()}
        found |= {f"{name}/weights/{k}": v.clone() for k, v in weights.items()}
        found[f"{name}/input"] = torch.randn(shape, generator=generator, dtype=torch.float64)
    return found


def net(name: str, data: dict[str, Tensor], dtype: torch.dtype, join: Any = Plus) -> Any:
    """A recorded net and its input."""
    model = NETS[name][0](join) if name in NETS else SILENT[name][0]()
    prefix = f"{name}/weights/"
    weights = {k.removeprefix(prefix): v for k, v in data.items() if k.startswith(prefix)}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(k.endswith("num_batches_tracked") for k in missing)
    return model.to(dtype).eval(), data[f"{name}/input"].to(dtype)


def computed(data: dict[str, Tensor]) -> dict[str, Tensor]:
    """What zennit finds, for every case, in both precisions."""
    found = {}
    for case in CASES:
        for label in case.dtypes:
            model, x = net(case.net, data, DTYPES[label], Stacked)
            composite = composite_of(case, x)
            relevance = attributed(model, composite, x, case.gradient, mended=case.merged)
            found[f"{case.key}/{label}"] = relevance
    for case in CASES:
        if case.is_as_released:
            model, x = net(case.net, data, torch.float64, Stacked)
            found[f"{case.key}/as_released"] = attributed(model, composite_of(case, x), x)
    for name in SILENT:
        model, x = net(name, data, torch.float64)
        composite = zennit("composites").COMPOSITES["epsilon_plus"](epsilon=1e-9)
        found[f"{name}/zennit"] = attributed(model, composite, x)
    return found


def differences(found: dict[str, Tensor], recorded: dict[str, Tensor]) -> list[str]:
    """Names of those that are not as recorded."""
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}
    return [
        name
        for name, value in found.items()
        if (value - recorded[name]).abs().max()
        > tolerance[value.dtype] * recorded[name].abs().max()
    ]


def main() -> int:
    """Writes the file, or compares with it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the file")
    if parser.parse_args().check:
        recorded = load_file(FILE)
        wrong = differences(computed(recorded), recorded)
        print("\n".join(wrong) or f"zennit {VERSION} computes what is recorded")
        return int(bool(wrong))
    data = drawn()
    version = importlib.metadata.version("zennit")
    save_file(data | computed(data), FILE, {"zennit": version, "torch": torch.__version__})
    return 0


if __name__ == "__main__":
    sys.exit(main())
