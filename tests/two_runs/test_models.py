"""Two runs of whole models: the difference arrives at the sources, nothing goes to biases."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.errors import InputError
from lrp_engine.onnx import load as load_onnx
from tests.random_graphs import Program, programs
from tests.support import assert_balances, draw
from tests.test_random_graphs import output_of, quietly
from tests.zoo.entry import Entry, Inputs
from tests.zoo.table import ZOO

X, Y, X0, Y0 = (draw(2, 3, 4, seed=s) for s in range(4))
# Causes under which a part of the difference may be booked: choices that differ between the runs.
CHOICES = {"choice", "rounding"}


@quietly
@given(programs())
def test_differences_of_random_graphs_arrive(steps) -> None:
    model = Program(steps)
    output_of(model)
    engine = lrp.Engine(model, (X, Y), preset="delta", dynamic=False)
    found = engine.explain((X, Y), [1, 3], reference=(X0, Y0), ledger=True)
    with torch.no_grad():
        wanted = (model(X, Y) - model(X0, Y0))[torch.arange(2), torch.tensor([1, 3])]
    torch.testing.assert_close(found.explained, wanted, atol=1e-9, rtol=1e-9)
    assert_balances(found.ledger, 1e-10)
    assert {k for k, v in found.ledger.absorbed.items() if v} <= CHOICES


def other_run(inputs: Inputs) -> Inputs:
    """Other numbers, other ids, the same masks."""
    return {
        name: (x.flip(0) * 0.5 + 0.1 if x.dtype.is_floating_point else x.flip(0))
        if name not in ("attention_mask", "pixel_mask")
        else x
        for name, x in inputs.items()
    }


# One of each kind; the others with `pytest -m slow`.
QUICK = ("vgg", "vit", "resnet", "graph", "two_tower")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in ZOO]
)
def test_differences_of_architectures_arrive(name: str) -> None:
    entry: Entry = ZOO[name]
    model, inputs = entry.model(), entry.inputs(3, 7)
    base = other_run(inputs)
    with entry.precision():
        engine = lrp.Engine(
            model, inputs, preset="delta", output=entry.output, dynamic=entry.dynamic
        )
        found = engine.explain(
            inputs, entry.target, position=entry.position, reference=base, ledger=True
        )
    assert_balances(found.ledger, 1e-9 if entry.dtype == torch.float64 else 1e-4)
    booked = {cause for cause, amount in found.ledger.absorbed.items() if amount}
    assert booked <= CHOICES | {"stopped", "control", "other input", "unreached input"}


def net() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 6),
        nn.LayerNorm(6),
        nn.GELU(),
        nn.Linear(6, 5),
        nn.Softmax(-1),
        nn.Linear(5, 3),
    )


def two_batches() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    return net().double().eval(), draw(3, 4, seed=5), draw(3, 4, seed=6)


def test_policies_agree() -> None:
    model, x, base = two_batches()
    keep, *others = (
        lrp.Engine(model, x, preset="delta", policy=p).explain(x, 1, reference=base)
        for p in ("keep", "balanced", "low_memory")
    )
    for other in others:
        torch.testing.assert_close(other.relevance["input"], keep.relevance["input"])


@pytest.mark.slow
def test_compiled_programs_agree() -> None:
    model, x, base = two_batches()
    plain, compiled = (
        lrp.Engine(model, x, preset="delta", compile=c).explain(x, 1, reference=base)
        for c in (False, True)
    )
    torch.testing.assert_close(compiled.relevance["input"], plain.relevance["input"])


def test_targets_together_give_what_each_gives_alone() -> None:
    model, x, base = two_batches()
    engine = lrp.Engine(model, x, preset="delta")
    together = engine.explain_all(x, reference=base)
    for target, found in enumerate(together):
        alone = engine.explain(x, target, reference=base)
        torch.testing.assert_close(found.relevance["input"], alone.relevance["input"])


def test_a_metric_is_followed_on_its_way_between_the_outputs() -> None:
    model, x, base = two_batches()
    metric = lambda y: torch.log_softmax(y, -1)[:, 1]  # noqa: E731
    found = lrp.Engine(model, x, preset="delta").explain(x, metric, reference=base)
    with torch.no_grad():
        torch.testing.assert_close(found.explained, metric(model(x)) - metric(model(base)))
    torch.testing.assert_close(found.relevance["input"].sum(1), found.explained)


def test_equal_runs_give_zeros_and_the_gradient_as_coefficient() -> None:
    model, x, _ = two_batches()
    found = lrp.Engine(model, x, preset="delta").explain(x, 1, reference=x)
    assert torch.equal(found.relevance["input"], torch.zeros_like(x))
    variable = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(variable)[:, 1].sum(), variable)
    torch.testing.assert_close(found.coefficient["input"], gradient)


def test_one_reference_or_a_number_stands_for_all_samples() -> None:
    model, x, base = two_batches()
    engine = lrp.Engine(model, x, preset="delta")
    one = engine.explain(x, 1, reference=base[:1])
    each = engine.explain(x, 1, reference=base[:1].expand(3, 4))
    torch.testing.assert_close(one.relevance["input"], each.relevance["input"])
    zero = engine.explain(x, 1, reference=0.0)
    with torch.no_grad():
        wanted = (model(x) - model(torch.zeros_like(x)))[:, 1]
    torch.testing.assert_close(zero.relevance["input"].sum(1), wanted)


class Words(nn.Module):
    """Ids with a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(9, 4), nn.Linear(4, 2)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        weights = torch.softmax(self.table(ids).sum(-1).masked_fill(mask == 0, -torch.inf), -1)
        return self.head(torch.einsum("bt,btd->bd", weights, self.table(ids)))


def test_ids_are_compared_and_what_a_reference_omits_is_the_inputs_own() -> None:
    torch.manual_seed(0)
    model = Words().double().eval()
    ids, base = torch.randint(9, (3, 5)), torch.randint(9, (3, 5))
    mask = torch.tensor([[1, 1, 1, 0, 0]] * 3)
    inputs = {"ids": ids, "mask": mask}
    engine = lrp.Engine(model, inputs, preset="delta")
    found = engine.explain(inputs, 1, reference={"ids": base})
    with torch.no_grad():
        wanted = (model(ids, mask) - model(base, mask))[:, 1]
    total = sum(r.flatten(1).sum(1) for r in found.relevance.values())
    torch.testing.assert_close(total, wanted)
    assert all((r[:, 3:] == 0).all() for r in found.relevance.values())
    with pytest.raises(InputError, match="names idz"):
        engine.explain(inputs, 1, reference={"idz": base})


def test_onnx_files_are_compared_as_models_are(tmp_path) -> None:
    model, x, base = two_batches()
    path = tmp_path / "net.onnx"
    torch.onnx.export(model, (x,), path, dynamo=True, verbose=False)
    native = lrp.Engine(model, x, preset="delta").explain(x, 1, reference=base)
    (found,) = (
        lrp.Engine(load_onnx(path), x, preset="delta")
        .explain(x, 1, reference=base)
        .relevance.values()
    )
    torch.testing.assert_close(found, native.relevance["input"])


def test_a_reference_is_needed_and_refused_where_it_means_nothing() -> None:
    model, x, base = two_batches()
    engine = lrp.Engine(model, x, preset="delta")
    with pytest.raises(InputError, match=r"give explain\(..., reference=...\)"):
        engine.explain(x, 1)
    with pytest.raises(InputError, match="use preset='delta'"):
        engine.with_preset("attnlrp").explain(x, 1, reference=base)
    with pytest.raises(InputError, match=r"shape \(2, 4\); the input's \(3, 4\)"):
        engine.explain(x, 1, reference=base[:2])
    for odd in (True, "zero"):
        with pytest.raises(InputError, match="a reference is a tensor, a tuple or a mapping"):
            engine.explain(x, 1, reference=odd)
    with pytest.raises(InputError, match="holds NaN"):
        engine.explain(x, 1, reference=torch.full_like(x, torch.nan))


def test_one_row_alone_is_refused_and_positions_are_those_of_the_whole_output() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model, (x, base) = layer.double().eval(), torch.randn(2, 3, 4, 8).double()
    engine = lrp.Engine(model, x, preset="delta")
    with pytest.raises(InputError, match=r"not available under preset 'delta': two runs"):
        engine.explain(x, 1, position=-1, reference=base, full_output=False)
    with pytest.raises(InputError, match="not available under preset 'delta'"):
        engine.memory(full_output=False)
    with pytest.raises(InputError, match="needs what to compare with"):
        engine.forward(x)
    found = engine.explain(x, 1, position=-1, reference=base)
    with torch.no_grad():
        torch.testing.assert_close(found.explained, (model(x) - model(base))[:, -1, 1])
    sums = found.relevance["src"].flatten(1).sum(1)
    torch.testing.assert_close(sums, found.explained, rtol=1e-10, atol=1e-12)


class RescaleNet(nn.Module):
    """A rectifier network, and DeepLIFT's Rescale rule written out layer by layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)

    @torch.no_grad()
    def rescale(self, x: Tensor, base: Tensor, target: int) -> Tensor:
        steps = []
        for layer in self.layers[:-1]:
            z, z0 = layer(x), layer(base)
            steps.append((z.relu() - z0.relu()) / (z - z0))
            x, base = z.relu(), z0.relu()
        m = self.layers[-1].weight[target].expand(len(x), -1)
        for layer, step in zip(reversed(self.layers[:-1]), reversed(steps), strict=True):
            m = (m * step) @ layer.weight
        return m


def test_rectifier_networks_get_deeplifts_rescale_rule() -> None:
    torch.manual_seed(0)
    model, x, base = RescaleNet().double().eval(), draw(4, 6), draw(4, 6, seed=1)
    found = lrp.Engine(model, x, preset="delta").explain(x, 2, reference=base)
    wanted = model.rescale(x, base, 2)
    torch.testing.assert_close(found.coefficient["x"], wanted, atol=1e-10, rtol=0)


class Rows(nn.Module):
    """Rows (batch, position) that mix once, then stay apart up to the output."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.head = nn.Linear(4, 6), nn.Linear(6, 9)
        self.norm = nn.LayerNorm(6)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        mixed = nn.functional.scaled_dot_product_attention(h, h, h, is_causal=True)
        return self.head(self.norm(mixed + torch.tanh(mixed)))


def test_one_row_gives_what_the_whole_output_gives() -> None:
    model = Rows().double().eval()
    x, base = draw(3, 5, 4, seed=5), draw(3, 5, 4, seed=6)
    engine = lrp.Engine(model, x, preset="delta")
    rows, classes = torch.tensor([4, 2, 0]), torch.tensor([1, 8, 0])
    found = engine.explain(x, classes, position=rows, reference=base)
    weights = torch.zeros(3, 5, 9, dtype=torch.float64)
    weights[torch.arange(3), rows, classes] = 1.0
    whole = engine.explain(x, weights, reference=base, ledger=True)
    assert engine._explainer.pairs.at_row is not None
    torch.testing.assert_close(found.relevance["x"], whole.relevance["x"])
    torch.testing.assert_close(found.explained, whole.explained)
    torch.testing.assert_close(found.relevance["x"].sum((1, 2)), found.explained)
    with pytest.raises(InputError, match="full_output=False is not available"):
        engine.explain(x, 1, position=0, reference=base, full_output=False)
