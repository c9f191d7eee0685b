"""Which rule or preset of ours is compared with which of zennit's, on which net, at which layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

LOW, HIGH = (-2.5, -3.0, -2.0), (2.0, 3.5, 3.0)


@dataclass(frozen=True)
class Twin:
    """One rule under both names: ours as a preset row writes it, zennit's by class."""

    name: str
    use: str
    parameters: Mapping[str, Any]
    rule: str
    settings: Mapping[str, Any] = field(default_factory=dict)


SHARED = {"bias": "distribute"}
ZEROED = {"zero_params": "bias"}

RULES = (
    Twin("epsilon_small", "epsilon", {"epsilon": 1e-6}, "Epsilon"),
    Twin("epsilon", "epsilon", {"epsilon": 0.25}, "Epsilon", {"epsilon": 0.25}),
    Twin(
        "epsilon_shared",
        "epsilon",
        {"epsilon": 0.25} | SHARED,
        "Epsilon",
        {"epsilon": 0.25} | ZEROED,
    ),
    Twin("gamma", "generalised_gamma", {"gamma": 0.4}, "Gamma", {"gamma": 0.4}),
    Twin("gamma_shared", "generalised_gamma", SHARED, "Gamma", ZEROED),
    Twin("z_plus", "z_plus", {}, "ZPlus"),
    Twin("z_plus_shared", "z_plus", SHARED, "ZPlus", ZEROED),
    Twin("alpha2_beta1", "alpha_beta", {}, "AlphaBeta"),
    Twin(
        "alpha3_beta2_shared",
        "alpha_beta",
        {"alpha": 3.0, "beta": 2.0} | SHARED,
        "AlphaBeta",
        {"alpha": 3.0, "beta": 2.0} | ZEROED,
    ),
    Twin("w_square", "w_square", {}, "WSquare"),
    Twin("w_square_shared", "w_square", SHARED, "WSquare", ZEROED),
    Twin("flat", "flat", {}, "Flat"),
)

# For inputs that lie in a box: first layers only.
BOXES = (
    Twin("z_box", "z_box", {"low": -4.0, "high": 4.5}, "ZBox", {"low": -4.0, "high": 4.5}),
    Twin(
        "z_box_channels",
        "z_box",
        {"low": list(LOW), "high": list(HIGH)},
        "ZBox",
        {"low": LOW, "high": HIGH},
    ),
)

# Linear layers, convolutions, a transposed one: first, in the middle, last. The first net has
# tensors of two axes, where a bound per channel has nowhere to stand.
LAYERS = {"mlp": ("0", "4"), "vgg": ("0", "2", "10"), "up": ("2",)}


@dataclass(frozen=True)
class Case:
    """One figure to compare: `ours` is a preset file, `composite` and `rules` are zennit's.

    `rules` maps module names to zennit rules. `merged`: batch norm is folded into its neighbour.
    `gradient`: what is compared is a modified gradient, our coefficient.
    """

    net: str
    name: str
    ours: str
    composite: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    merged: bool = True
    gradient: bool = False

    @property
    def key(self) -> str:
        """Its name in the recorded file."""
        return f"{self.net}/{self.name}"

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Single precision only for some: it takes as long."""
        return ("float64", "float32") if self.net in ("up", "resnet") else ("float64",)

    @property
    def is_as_released(self) -> bool:
        """Whether zennit's merging of batch norm is recorded with its fault as well."""
        return self.name == "epsilon_plus" and self.net in ("vgg_bn", "resnet", "up")


def preset_text(extends: str, merged: bool, *rows: str) -> str:
    """A preset file that extends one of ours."""
    head = f'extends = "{extends}"\nfold_batch_norm = {str(merged).lower()}\n'
    return head + "".join(f"\n[[rule]]\n{row}\n" for row in rows)


def row(twin: Twin, layer: str) -> str:
    """A preset row for one layer."""
    lines = ['family = "weighted_sum"', f'module = "{layer}"', f'use = "{twin.use}"']
    values = {k: f'"{v}"' if isinstance(v, str) else v for k, v in twin.parameters.items()}
    return "\n".join([*lines, *(f"{k} = {v}" for k, v in values.items())])


def rule_cases() -> Iterator[Case]:
    """Every rule at every position, the rest of the net under epsilon_plus."""
    for net, layers in LAYERS.items():
        for layer in layers:
            boxes = [t for t in BOXES if layer == "0" and not (net == "mlp" and "chan" in t.name)]
            for twin in (*RULES, *boxes):
                ours = preset_text("epsilon_plus", True, row(twin, layer))
                rules = {layer: (twin.rule, twin.settings)}
                yield Case(net, f"{layer}/{twin.name}", ours, "epsilon_plus", rules=rules)


PRESETS = (
    "epsilon_plus",
    "epsilon_plus_flat",
    "epsilon_alpha2_beta1",
    "epsilon_alpha2_beta1_flat",
    "epsilon_gamma_box",
)
GRADIENTS = ("guided_backprop", "deconvnet", "beta_smooth", "gradient")


def composite_cases() -> Iterator[Case]:
    """Every composite, with batch norm folded and without; gradients fold nothing."""
    for net in ("mlp", "vgg", "vgg_bn", "resnet", "up"):
        for name in PRESETS:
            if (net, name) == ("mlp", "epsilon_gamma_box"):
                continue
            settings = {"low": LOW, "high": HIGH} if name == "epsilon_gamma_box" else {}
            yield Case(net, name, preset_text(name, True), name, settings)
            if net in ("vgg_bn", "resnet"):
                passed = preset_text(name, False)
                yield Case(net, f"{name}_norm_passed", passed, name, settings, merged=False)
        yield Case(net, EXCITATION, preset_text(EXCITATION, True), EXCITATION)
    for net in ("vgg", "resnet"):
        for name in GRADIENTS:
            composite = None if name == "gradient" else name
            ours = preset_text(name, False)
            yield Case(net, name, ours, composite, merged=False, gradient=True)


EXCITATION = "excitation_backprop"
CASES = (*rule_cases(), *composite_cases())
