"""Weights, slopes, limits, divisors and masks that are computed from the input get their share.

The expected relevance is written entry by entry from the definitions: a normalised entry times a
live weight is a product of two, half for each; a limit that cut an entry off takes its relevance;
which multiple a remainder leaves out is a constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lrp_engine as lrp
from lrp_engine.circuits import CircuitModel
from lrp_engine.errors import CoverageError
from lrp_engine.method.op import Op
from tests.support import assert_close, draw

SHAPE = (2, 4, 3)
X = draw(*SHAPE, seed=1)
C = draw(*SHAPE, seed=2)  # what arrives at the result
EPS = 1e-5
PRESETS = [
    "attnlrp",
    pytest.param("relp", marks=pytest.mark.slow),
    pytest.param("epsilon", marks=pytest.mark.slow),
]

Function = Callable[..., Tensor]
Group = Callable[[int, int, int], object]


def explained(
    function: Function, inputs: dict[str, Tensor], preset: str, unreached: int = 0
) -> tuple[dict[str, Tensor], lrp.Explanation]:
    """Relevance of each input, 0 where none arrives; the ledger closes."""
    model = model_of(function, list(inputs))
    engine = lrp.Engine(model, dict(inputs), preset=preset, dynamic=False)
    result = engine.explain(dict(inputs), lambda out: (out * C).sum(), ledger=True)
    result.check(unreached=unreached)
    torch.testing.assert_close(result.output, function(*inputs.values()), rtol=1e-12, atol=1e-12)
    found = {n: result.relevance.get(n, torch.zeros_like(x)) for n, x in inputs.items()}
    return found, result


def model_of(function: Function, names: list[str]) -> Function:
    """A function of two or more named tensors."""
    if names == ["x", "a"]:
        return lambda x, a: function(x, a)
    if names == ["x", "a", "b"]:
        return lambda x, a, b: function(x, a, b)
    return lambda x, a, b, mean, var: function(x, a, b, mean, var)


def by_row(i: int, j: int, k: int) -> object:
    return (i, j)


def by_two_channels(i: int, j: int, k: int) -> object:
    return (i, j // 2)


def by_channel_of_a_sample(i: int, j: int, k: int) -> object:
    return (i, j)


def by_channel(i: int, j: int, k: int) -> object:
    return j


NORMS: dict[str, tuple[Function, Group, int, bool]] = {
    # function, what is normalised together, axis of the weight, whether the mean is taken off
    "layer norm": (lambda x, a, b: F.layer_norm(x, [3], a, b, EPS), by_row, 2, True),
    "rms norm": (lambda x, a, b: F.rms_norm(x, [3], a, EPS) + b, by_row, 2, False),
    "group norm": (lambda x, a, b: F.group_norm(x, 2, a, b, EPS), by_two_channels, 1, True),
    "instance norm": (
        lambda x, a, b: F.instance_norm(x, weight=a, bias=b, eps=EPS),
        by_channel_of_a_sample,
        1,
        True,
    ),
    "batch statistics": (
        lambda x, a, b: F.batch_norm(x, None, None, a, b, True, 0.1, EPS),
        by_channel,
        1,
        True,
    ),
}


def expected_of_norm(
    x: Tensor, a: Tensor, b: Tensor, group: Group, axis: int, centred: bool
) -> dict[str, Tensor]:
    """Entry by entry: the scale is a number, n_i a_i is a product, b_i a summand."""
    back = {"x": torch.zeros_like(x), "a": torch.zeros_like(a), "b": torch.zeros_like(b)}
    places = [(i, j, k) for i in range(2) for j in range(4) for k in range(3)]
    for p in places:
        together = [q for q in places if group(*q) == group(*p)]
        mean = sum(float(x[q]) for q in together) / len(together) if centred else 0.0
        spread = sum((float(x[q]) - mean) ** 2 for q in together) / len(together)
        scale = 1 / math.sqrt(spread + EPS)
        place, c = p[axis], float(C[p])
        half = c * float(a[place]) * (float(x[p]) - mean) * scale / 2
        back["a"][place] += half
        back["b"][place] += c * float(b[place])
        for q in together:
            share = (q == p) - (1 / len(together) if centred else 0.0)
            back["x"][q] += c * float(a[place]) / 2 * scale * share * x[q]
    return back


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", NORMS)
def test_weight_and_bias_of_a_norm(name: str, preset: str) -> None:
    function, group, axis, centred = NORMS[name]
    a, b = draw(SHAPE[axis], seed=3), draw(SHAPE[axis], seed=4)
    found, _ = explained(function, {"x": X, "a": a, "b": b}, preset)
    for key, expected in expected_of_norm(X, a, b, group, axis, centred).items():
        assert_close(found[key], expected, 1e-9)


@pytest.mark.parametrize("preset", PRESETS)
def test_running_statistics_of_a_batch_norm(preset: str) -> None:
    """The mean is a summand; the variance makes the scale, which is a constant."""
    a, b, mean, var = (draw(4, seed=s) for s in (3, 4, 5, 6))
    var = var.square() + 0.5
    given = {"x": X, "a": a, "b": b, "mean": mean, "var": var}
    found, _ = explained(
        lambda x, a, b, m, v: F.batch_norm(x, m, v, a, b, False, 0.1, EPS), given, preset, 1
    )
    channel, scale = (1, 4, 1), 1 / torch.sqrt(var + EPS)
    flow = C * (a * scale).view(channel) / 2
    assert_close(found["x"], flow * X)
    assert_close(found["mean"], -flow.sum((0, 2)) * mean)
    assert_close(found["a"], a * scale / 2 * (C * (X - mean.view(channel))).sum((0, 2)))
    assert_close(found["b"], b * C.sum((0, 2)))
    assert not found["var"].any()


def clamped(x: float, low: float, high: float, c: float) -> tuple[float, float, float]:
    if x < low:
        return 0.0, c * low, 0.0
    return (0.0, 0.0, c * high) if x > high else (c * x, 0.0, 0.0)


@pytest.mark.parametrize("preset", PRESETS)
def test_limits(preset: str) -> None:
    low, high = -draw(*SHAPE, seed=5).abs() / 2, draw(*SHAPE, seed=6).abs() / 2
    found, _ = explained(torch.clamp, {"x": X, "a": low, "b": high}, preset)
    entries = zip(*(t.flatten().tolist() for t in (X, low, high, C)), strict=True)
    for name, column in zip("xab", zip(*(clamped(*e) for e in entries), strict=True), strict=True):
        assert_close(found[name], torch.tensor(column, dtype=X.dtype).view(SHAPE))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("low", [True, False])
def test_a_limit_of_one_number(low: bool, preset: str) -> None:
    """Broadcast, and on one side alone."""
    limit = torch.tensor(0.2, dtype=X.dtype)
    function = torch.clamp_min if low else torch.clamp_max
    found, _ = explained(function, {"x": X, "a": limit}, preset)
    cut = limit > X if low else limit < X
    assert_close(found["x"], torch.where(cut, 0.0, X * C))
    assert_close(found["a"], limit * C[cut].sum())


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("function", [torch.remainder, torch.fmod])
def test_divisor_of_a_remainder(function: Function, preset: str) -> None:
    y = draw(*SHAPE, seed=7).abs() / 3 + 0.2
    found, result = explained(function, {"x": X, "a": y}, preset)
    whole = math.floor if function is torch.remainder else math.trunc
    pairs = zip(X.flatten().tolist(), y.flatten().tolist(), strict=True)
    steps = torch.tensor([float(whole(a / b)) for a, b in pairs]).double().view(SHAPE)
    assert_close(found["x"], C * X)
    assert_close(found["a"], -C * steps * y)
    arrived = sum(r.sum() for r in found.values())
    assert_close(arrived, (C * result.output).sum())


def test_divisor_of_a_number() -> None:
    y = X.abs() + 0.3
    found, _ = explained(lambda x, a: torch.remainder(2.0, a) + x, {"x": X, "a": y}, "gradient")
    steps = torch.tensor([float(math.floor(2.0 / v)) for v in y.flatten().tolist()]).double()
    assert_close(found["a"], -C * steps.view(SHAPE) * y)


@pytest.mark.parametrize("preset", PRESETS)
def test_slope_of_a_prelu(preset: str) -> None:
    slope = draw(4, seed=8)
    found, _ = explained(F.prelu, {"x": X, "a": slope}, preset)
    product = C * X * slope.view(1, 4, 1) / 2
    assert_close(found["x"], torch.where(X > 0, C * X, product))
    assert_close(found["a"], torch.where(X > 0, 0.0, product).sum((0, 2)))


def test_a_sign_only_switches() -> None:
    found, _ = explained(torch.copysign, {"x": X, "a": X.flip(0)}, "attnlrp")
    assert_close(found["x"], C * torch.copysign(X, X.flip(0)))
    assert not found["a"].any()


def pair_bias(x: Tensor, a: Tensor) -> Tensor:
    """Attention with a bias between positions that is computed from the input."""
    return F.scaled_dot_product_attention(x, x, x, attn_mask=a @ a.mT)


def pair_bias_by_hand(x: Tensor, a: Tensor) -> Tensor:
    weights = torch.softmax(x @ x.mT / math.sqrt(x.shape[-1]) + a @ a.mT, -1)
    return weights @ x


@pytest.mark.parametrize("preset", ["attnlrp", "cp_lrp", "epsilon", "gradient"])
def test_fused_attention_with_a_live_bias_is_attention_by_hand(preset: str) -> None:
    given = {"x": X, "a": draw(*SHAPE, seed=9)}
    lost = int(preset == "cp_lrp")  # it takes the weights for constants
    fused, _ = explained(pair_bias, given, preset, lost)
    by_hand, _ = explained(pair_bias_by_hand, given, preset, lost)
    assert_close(fused["x"], by_hand["x"], 1e-9)
    if preset == "cp_lrp":
        assert not fused["a"].any()
        assert not by_hand["a"].any()
    else:
        assert_close(fused["a"], by_hand["a"], 1e-9)


def test_circuits_have_the_same_operands() -> None:
    def model(x: Tensor, a: Tensor) -> Tensor:
        return F.layer_norm(x, [3], 2 * a, x[0, 0])

    given = (X, draw(3, seed=3))
    expected = lrp.Engine(model, given, dynamic=False).explain(given, lambda out: (out * C).sum())
    circuits = CircuitModel(model, given)
    nodes = circuits.embeddings
    programs = circuits.coefficients("attnlrp", nodes)
    found = programs.run(circuits.leaves(given), lambda out: C).coefficients
    for node, c in zip(nodes, expected.coefficient.values(), strict=True):
        assert_close(found[node], c, 1e-12)


NUMBERS: dict[str, Function] = {
    "item": lambda x, a: x * a.sum().item(),
    "a limit": lambda x, a: x.clamp(min=a.mean().item() - 1.0),
    "a number argument": lambda x, a: torch.add(x, x, alpha=a.sum()),
    "a new tensor": lambda x, a: x + torch.full(SHAPE, 2 * a.sum().item(), dtype=x.dtype),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_taken_out_of_a_live_tensor_is_refused(name: str) -> None:
    with pytest.raises(
        CoverageError, match=r"item.*\n.*a Python number.*keep it a tensor"
    ) as found:
        lrp.Engine(model_of(NUMBERS[name], ["x", "a"]), (X, X), dynamic=False)
    assert "test_live_operands.py" in str(found.value) or "_Function" in str(found.value)
    assert str(found.value).startswith("1 live op")


def test_switched_off_the_relevance_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrong checker: without the plan's question nothing tells that a weight is live."""
    monkeypatch.setattr(Op, "undeclared", lambda op, live: frozenset())
    function, group, axis, centred = NORMS["layer norm"]
    a, b = draw(3, seed=3), draw(3, seed=4)
    found, _ = explained(function, {"x": X, "a": a, "b": b}, "attnlrp", unreached=2)
    expected = expected_of_norm(X, a, b, group, axis, centred)
    assert not found["a"].any()
    assert expected["a"].abs().max() > 0.1
    assert (found["x"] - expected["x"]).abs().max() > 0.1


@pytest.mark.parametrize(("old", "new"), [("add", "sum"), ("multiply", "prod")])
def test_older_names_of_a_scatter(old: str, new: str) -> None:
    index = torch.tensor([0, 1, 1]).expand(SHAPE)
    given = {"x": X, "a": draw(*SHAPE, seed=9)}
    older, _ = explained(lambda x, a: x.scatter(2, index, a, reduce=old), given, "attnlrp")
    newer, _ = explained(lambda x, a: x.scatter_reduce(2, index, a, new), given, "attnlrp")
    assert_close(older["x"], newer["x"])
    assert_close(older["a"], newer["a"])
