"""A model that draws random numbers: one draw per explanation, the model's own, and seeds."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrp_engine import Engine
from lrp_engine.checks import check
from lrp_engine.circuits import CircuitModel, Pairs, edge_scores, logit_difference, patch, score
from lrp_engine.errors import CoverageError, InputError, PackageError
from lrp_engine.promises.resolve import Resolver
from tests.circuits import nets
from tests.support import draw, seeded

X = draw(4, 6)

NOISE: dict[str, Callable[[Tensor], Tensor]] = {
    "rand_like": lambda h: h * torch.rand_like(h),
    "rand of fixed size": lambda h: h * torch.rand(8, dtype=h.dtype),
    "bernoulli": lambda h: h * torch.bernoulli(torch.full_like(h, 0.5)),
    "dropout": lambda h: F.dropout(h, 0.3, training=True),
    "channels": lambda h: F.dropout1d(h.unsqueeze(2), 0.5, training=True).squeeze(2),
    "alpha_dropout": lambda h: F.alpha_dropout(h, 0.5, training=True),
    "multinomial": lambda h: h * torch.multinomial(torch.ones(8), 8, replacement=True),
    "randperm": lambda h: h[:, torch.randperm(8)],
    "normal_": lambda h: h * torch.empty_like(h).normal_(),
    "uniform_": lambda h: h * torch.empty_like(h).uniform_(),
}


class Noisy(nn.Module):
    def __init__(self, noise: str) -> None:
        super().__init__()
        self.a, self.b, self.noise = nn.Linear(6, 8), nn.Linear(8, 2), noise

    def forward(self, x: Tensor) -> Tensor:
        return self.b(NOISE[self.noise](torch.relu(self.a(x))))


@pytest.mark.parametrize("noise", NOISE)
def test_one_explanation_has_one_draw_the_models_own(noise):
    model = seeded(Noisy, noise)
    engine = Engine(model, X)
    assert "the model draws random numbers" in engine.provenance.notes[-1]
    with torch.random.fork_rng(devices=[]):
        for policy in ("keep", "low_memory"):
            torch.manual_seed(5)
            own, after = model(X), torch.get_rng_state()
            torch.manual_seed(5)
            found = engine.with_policy(policy).explain(X, target=0)
            assert torch.equal(found.output, own)
            assert torch.equal(torch.get_rng_state(), after)
            torch.rand(7)
            found.check()
            assert found.explained.tolist() == own[:, 0].tolist()


def test_without_the_promise_of_draws_relevance_is_of_another_draw(monkeypatch):
    model = seeded(Noisy, "rand of fixed size")
    x = draw(1, 6)
    model.b.bias.data.zero_()
    engine = Engine(model, x, preset="gradient")
    right = engine.explain(x, target=0, seed=1)

    def every_op(resolver: Resolver) -> frozenset[torch.fx.Node]:
        found: set[torch.fx.Node] = set()
        for node in resolver.joint.graph.nodes:
            if node.op == "get_attr" or (
                node.op == "call_function"
                and node not in resolver.relevance
                and found.issuperset(node.all_input_nodes)
            ):
                found.add(node)
        return frozenset(found)

    monkeypatch.setattr(Resolver, "_find_constants", every_op)
    wrong = Engine(model, x, preset="gradient").explain(x, target=0, seed=1)
    assert torch.equal(wrong.output, right.output)
    assert not torch.allclose(wrong.relevance["x"], right.relevance["x"])


def test_a_seed_gives_the_same_numbers_and_leaves_torchs_generators():
    engine = Engine(seeded(Noisy, "rand_like"), X)
    before = torch.get_rng_state()
    first, second = (engine.explain(X, target=0, seed=3) for _ in range(2))
    other = engine.explain(X, target=0, seed=4)
    run = engine.forward(X, seed=3).explain(0)
    together = engine.explain_all(X, [0, 1], seed=3)[0]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.relevance["x"], second.relevance["x"])
    assert not torch.equal(first.relevance["x"], other.relevance["x"])
    for same in (run, together):
        torch.testing.assert_close(same.relevance["x"], first.relevance["x"])
    for bad in (-1, True, 1.5):
        with pytest.raises(InputError, match="seed must be an integer"):
            engine.explain(X, target=0, seed=bad)


def test_making_an_engine_draws_nothing():
    before = torch.get_rng_state()
    _ = Engine(seeded(Noisy, "rand of fixed size"), X).with_policy("balanced").program
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_that_is_switched_off_draws_nothing():
    engine = Engine(nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 2)).eval(), X.float())
    assert not engine.captured.draws
    assert not engine.captured.notes


def test_checks_say_that_the_model_draws_and_use_one_seed():
    engine = Engine(seeded(Noisy, "rand_like"), X)
    reports = [check(engine, X, target=0) for _ in range(2)]
    (finding,) = [f for f in reports[0].findings if f.check == "randomness"]
    assert "aten.rand_like" in finding.message
    assert "seed 0" in finding.message
    assert reports[0].ledger == reports[1].ledger


# --- circuits ----------------------------------------------------------------------------------

Y = draw(4, 6, seed=3)


def own_metric(model: nn.Module, x: Tensor, seed: int = 4) -> Tensor:
    """The metric by the model itself, with this seed."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        return gap(model(x))


def gap(output: Tensor) -> Tensor:
    return output[:, 0] - output[:, 1]


@pytest.mark.parametrize("noise", ["rand_like", "dropout", "multinomial", "normal_"])
def test_both_runs_of_a_circuit_have_the_same_draw(noise):
    model = seeded(Noisy, noise)
    circuit = CircuitModel(model, X, seed=4)
    before = torch.get_rng_state()
    found = score(circuit, Pairs(X, Y, gap), ["a"], estimator="delta")
    patched = patch(circuit, Pairs(X, Y, gap), ["a"])
    assert torch.equal(torch.get_rng_state(), before)
    clean, corrupt = own_metric(model, X), own_metric(model, Y)
    assert torch.equal(found.clean, clean)
    assert torch.equal(found.corrupt, corrupt)
    # Everything goes through `a`: with the draw held, its score is the whole effect.
    torch.testing.assert_close(found["a"], clean - corrupt)
    torch.testing.assert_close(patched["a"], clean - corrupt)
    assert [use.name for use in circuit.inputs] == ["x"]


def test_edges_of_a_model_that_draws_sum_to_the_effect():
    net, clean, corrupt = nets.draw("sequential")
    net.layers[1].mlp.append(Drops().eval())
    metric = logit_difference(torch.tensor([1, 2, 3]), torch.tensor([4, 5, 6]))
    found = edge_scores(CircuitModel(net, clean), Pairs(clean, corrupt, metric), estimator="delta")
    for name, total in found.cut_sums.sums.items():
        torch.testing.assert_close(total, found.clean - found.corrupt, msg=name)


class Drops(nn.Module):
    """Dropout that stays on."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.2, training=True)


def test_without_the_seed_the_two_runs_of_a_circuit_differ_by_their_draws(monkeypatch):
    model = seeded(Noisy, "rand of fixed size")
    circuit = CircuitModel(model, X, seed=4)
    pairs = Pairs(X, X.clone(), gap)
    assert torch.equal(*(score(circuit, pairs, ["a"]).clean for _ in range(2)))
    monkeypatch.setattr("lrp_engine.circuits.circuit_model.seeded", lambda *_: nullcontext())
    wrong = score(circuit, pairs, ["a"])
    assert not torch.allclose(wrong.clean, wrong.corrupt)


def test_a_circuit_whose_draws_depend_on_values_is_refused():
    with pytest.raises(CoverageError, match="it draws random numbers, and relevance arrives"):
        CircuitModel(lambda x: torch.poisson(x.exp()) * x, X)


def test_single_rows_and_packages_of_a_model_that_draws_are_refused(tmp_path):
    engine = Engine(Tokens().eval(), torch.randn(2, 3, 6).double())
    with pytest.raises(InputError, match=r"full_output=False .* would draw"):
        engine.explain(torch.randn(2, 3, 6).double(), 0, position=-1, full_output=False)
    with pytest.raises(PackageError, match=r"aten.rand_like.* compiled programs would draw others"):
        engine.package(tmp_path / "noisy.lrp", torch.randn(2, 3, 6).double())


class Tokens(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rand_like(x)
