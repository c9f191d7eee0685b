"""The preset `gradient` is autograd's gradient times the input, wherever that is a derivative."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tests.fuzz.nets import NetModule, clone
from tests.fuzz.oracles import Case, explain, targets
from tests.fuzz.outcomes import require

CLOSE = 1e-7  # torch's own derivatives hold constants in single precision


class Reference:
    """Gradient times value by autograd: at floating inputs, and where integers become numbers."""

    def __init__(self, model: NetModule, inputs: Sequence[Tensor]) -> None:
        self.entered: list[Tensor] = []
        self.leaves = [x.clone().requires_grad_(x.is_floating_point()) for x in inputs]
        chosen = torch.tensor(targets(inputs))[:, None]
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            output = model.run(*(x.clone() for x in self.leaves), tap=self._enter)
            explained = output.gather(1, chosen).sum()
        wanted = [*self.numbers, *self.entered]
        found = torch.autograd.grad(explained, wanted, allow_unused=True)
        gradients = [
            torch.zeros_like(x) if g is None else g for x, g in zip(wanted, found, strict=True)
        ]
        products = [(x * g).detach() for x, g in zip(wanted, gradients, strict=True)]
        self.gradients = gradients
        self.at_inputs = products[: len(self.numbers)]
        self.at_entries = sum(float(p.sum()) for p in products[len(self.numbers) :])

    @property
    def numbers(self) -> list[Tensor]:
        return [x for x in self.leaves if x.is_floating_point()]

    def _enter(self, value: Tensor) -> Tensor:
        self.entered.append(value.detach().clone().requires_grad_())
        return self.entered[-1].clone()


def shaken(inputs: Sequence[Tensor]) -> list[Tensor]:
    """Inputs a little to the side."""
    return [x * (1 + 1e-8) + 1e-9 if x.is_floating_point() else x for x in inputs]


def is_derivative(model: NetModule, inputs: Sequence[Tensor], at: Reference) -> bool:
    """False at kinks and poles, where gradients are conventions."""
    beside = Reference(model, shaken(inputs))
    for a, b in zip(at.gradients, beside.gradients, strict=True):
        if not a.isfinite().all() or not b.isfinite().all() or a.shape != b.shape:
            return False
        if (a - b).abs().max() > 1e-4 * (1 + a.abs().max()):
            return False
    return True


def gradient_is_autograds(case: Case) -> None:
    """Input by input; where ids are looked up, in sum."""
    if case.net.draws or case.net.coarse or not all(s.row.derivable for s in case.net.steps):
        return
    try:
        expected = Reference(case.model, clone(case.inputs))
        if not is_derivative(case.model, clone(case.inputs), expected):
            return
    except (RuntimeError, NotImplementedError):  # autograd does not serve this model
        return
    ex = explain(case.engine.with_preset("gradient"), case.inputs)
    names = [name for name, port in zip("abc", case.net.ports, strict=False) if port.kind == "f"]
    scale = max(case.size, *(float(R.abs().max()) for R in ex.relevance.values()))
    for name, product in zip(names, expected.at_inputs, strict=True):
        found = ex.relevance[name] if name in ex.relevance else torch.zeros_like(product)
        scale = max(scale, float(product.abs().max()))
        away = float((found - product).abs().max())
        require(away <= CLOSE * scale, f"gradient at {name} is off by {away / scale:.2g}")
    others = [R for name, R in ex.relevance.items() if name not in names]
    if enters_by_look_ups(case) and len(others) == len(expected.entered):
        away = abs(sum(float(R.sum()) for R in others) - expected.at_entries)
        require(away <= 10 * CLOSE * scale, f"gradient at look-ups is off by {away / scale:.2g}")


def enters_by_look_ups(case: Case) -> bool:
    """Tell whether integers turn into numbers by look-ups of ids that no number decides."""
    number = [port.kind == "f" for port in case.net.ports]
    for step, is_float in zip(case.net.steps, case.model.floats, strict=True):
        touched = any(number[i] for i in step.operands)
        if (touched != is_float and not step.row.looks_up) or (touched and step.row.looks_up):
            return False
        number.append(touched or step.row.looks_up)
    return True
