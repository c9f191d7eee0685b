"""Every input is a source, a control, or named as unreached; "constant" depends on no input."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lrp_engine import Engine, checks, explain
from lrp_engine.circuits import CircuitModel
from lrp_engine.errors import SourceError
from lrp_engine.graphs.schema import bind, operands_of, pick
from lrp_engine.method.registry import standard
from lrp_engine.plan import sources as sources_module
from lrp_engine.plan.chosen_entries import ChosenEntries
from lrp_engine.plan.influence import InputKind
from tests.support import draw

ROWS, WIDTH = 9, 3
IDS = torch.tensor([[1, 4, 7, 2], [8, 0, 3, 5]])
BESIDE = draw(2, 4, WIDTH, seed=3)


class Beside(nn.Module):
    """What `enter` makes of the integers, plus a floating-point input; bias-free."""

    def __init__(self, enter: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.table = nn.Parameter(draw(ROWS, WIDTH, seed=1))
        self.register_buffer("head", draw(WIDTH, 2, seed=2))
        self.enter = enter

    def forward(self, ids: Tensor, beside: Tensor) -> Tensor:
        return ((self.enter(self.table, ids) + beside) @ self.head).sum(1)


def written_over(ids: Tensor) -> Tensor:
    changed = ids.clone()
    changed[:, 1:3] = 2
    return changed


def flat(table: Tensor, ids: Tensor, look_up: Callable[[Tensor], Tensor]) -> Tensor:
    return look_up(ids.flatten()).unflatten(0, ids.shape)


# spelling: what the model does, and which row of the table that is, position by position
LOOKUPS = {
    "embedding": (F.embedding, lambda i: i),
    "offset": (lambda t, i: F.embedding((i + 3) % ROWS, t), lambda i: (i + 3) % ROWS),
    "index": (lambda t, i: t[i], lambda i: i),
    "index with slice": (lambda t, i: t[i, :], lambda i: i),
    "index_select": (lambda t, i: flat(t, i, lambda k: t.index_select(0, k)), lambda i: i),
    "gather": (
        lambda t, i: flat(t, i, lambda k: t.gather(0, k[:, None].expand(-1, WIDTH))),
        lambda i: i,
    ),
    "cast": (lambda t, i: t[i.int().long()], lambda i: i),
    "clamp": (lambda t, i: t[i.clamp(2, 6)], lambda i: i.clamp(2, 6)),
    "masked_fill": (lambda t, i: t[i.masked_fill(i == 3, 0)], lambda i: i.masked_fill(i == 3, 0)),
    "where": (lambda t, i: t[torch.where(i > 4, i, 1)], lambda i: torch.where(i > 4, i, 1)),
    "slice write": (lambda t, i: t[written_over(i)], written_over),
    "one_hot": (lambda t, i: F.one_hot(i, ROWS).to(t.dtype) @ t, lambda i: i),
    "equal": (lambda t, i: (i[..., None] == torch.arange(ROWS)).to(t.dtype) @ t, lambda i: i),
    "scatter": (
        lambda t, i: t.new_zeros(*i.shape, ROWS).scatter(2, i[..., None], 1.0) @ t,
        lambda i: i,
    ),
    "threshold": (lambda t, i: t[(i > 3).long()], lambda i: (i > 3).long()),
}


@pytest.mark.parametrize("spelling", LOOKUPS)
def test_a_lookup_is_explained_in_every_spelling(spelling):
    look_up, row_of = LOOKUPS[spelling]
    model = Beside(lambda t, i: look_up(i, t) if look_up is F.embedding else look_up(t, i)).eval()
    ex = explain(model, {"ids": IDS, "beside": BESIDE}, target=1, dynamic=False)
    by_hand = model.table[row_of(IDS)] @ model.head[:, 1]
    found = ex.relevance["ids"].sum(-1).reshape(by_hand.shape)
    assert torch.allclose(found, by_hand, atol=1e-12)
    assert torch.allclose(ex.relevance["beside"].sum(-1), BESIDE @ model.head[:, 1], atol=1e-12)
    assert not any(ex.ledger.absorbed.values())
    ex.check()


NUMBERS = {
    "uint8 image": (lambda t, i: i.to(torch.uint8).to(t.dtype) / 255, lambda i: i / 255),
    "division": (lambda t, i: i / 255, lambda i: i / 255),
    "booleans": (lambda t, i: (i > 3).to(t.dtype), lambda i: (i > 3) * 1.0),
    "mixed": (lambda t, i: torch.where(i > 3, i, torch.zeros_like(t[0, 0])), lambda i: i * (i > 3)),
}


@pytest.mark.parametrize("spelling", NUMBERS)
def test_integers_as_numbers_are_explained_where_they_become_floating_point(spelling):
    number, by_value = NUMBERS[spelling]
    model = Beside(lambda t, i: number(t, i)[..., None] * t[0]).eval()
    ex = explain(model.double(), {"ids": IDS, "beside": BESIDE}, target=0, dynamic=False)
    by_hand = by_value(IDS).double() * (model.table[0] @ model.head[:, 0])
    found = ex.relevance["ids"].double()
    assert torch.allclose(found, by_hand, atol=1e-6 if spelling == "division" else 1e-12)
    ex.check(1e-6)


def test_a_floating_column_that_is_looked_up_is_a_source_of_its_own():
    class Columns(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(draw(ROWS, WIDTH))
            self.register_buffer("head", draw(WIDTH + 2, 2, seed=1))

        def forward(self, x):
            return torch.cat([self.table[x[:, 0].long()], x[:, 1:]], 1) @ self.head

    x = torch.cat([torch.tensor([[2.0], [5.0]]).double(), draw(2, 2)], 1)
    model = Columns().eval()
    ex = explain(model, x, target=0)
    assert list(ex.relevance) == ["x", "x:0"]
    by_hand = model.table[x[:, 0].long()] * model.head[:WIDTH, 0]
    assert torch.allclose(ex.relevance["x:0"], by_hand)


BAGS = {
    "sum": ({"mode": "sum"}, False),
    "mean with padding": ({"mode": "mean", "padding_idx": 1}, False),
    "max": ({"mode": "max"}, False),
    "weights": ({"mode": "sum"}, True),
    "last offset": ({"mode": "mean", "include_last_offset": True}, False),
}


def bag_by_hand(bag: nn.EmbeddingBag, offsets: Tensor, weights: Tensor, c: Tensor) -> Tensor:
    """Relevance of each row, (indices, width), by loops over bags; c is (bags, width)."""
    ids, table = IDS.flatten(), bag.weight
    ends = [*offsets.tolist(), len(ids)][: 4 if bag.include_last_offset else 5]
    found = torch.zeros(len(ids), WIDTH, dtype=torch.float64)
    for b, (start, end) in enumerate(itertools.pairwise(ends)):
        places = [k for k in range(start, end) if int(ids[k]) != bag.padding_idx]
        rows = torch.stack([table[ids[k]] * weights[k] for k in places]) if places else None
        for at, k in enumerate(places):
            share = c[b] * rows[at] / (len(places) if bag.mode == "mean" else 1)
            wins = rows.argmax(0) == at
            found[k] = share * wins if bag.mode == "max" else share
    return found


@pytest.mark.parametrize("kind", BAGS)
def test_a_bag_of_embeddings_is_explained_row_by_row(kind):
    options, weighted = BAGS[kind]

    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            self.bag = nn.EmbeddingBag(ROWS, WIDTH, **options).double()
            self.register_buffer("head", draw(WIDTH, 2, seed=1))

        def forward(self, ids, offsets, weights=None):
            return self.bag(ids, offsets, weights) @ self.head

    model = Bag().eval()
    offsets = torch.tensor([0, 3, 3, 8] if options.get("include_last_offset") else [0, 3, 3, 5])
    weights = draw(8, seed=5).abs() if weighted else torch.ones(8, dtype=torch.float64)
    given_ = (IDS.flatten(), offsets, weights) if weighted else (IDS.flatten(), offsets)
    ex = Engine(model, given_, dynamic=False).explain(given_, target=0)
    c = model.head[:, 0].expand(4, WIDTH)
    by_hand = bag_by_hand(model.bag, offsets, weights, c).detach()
    found = ex.relevance["ids"]
    assert torch.allclose(found, by_hand * (0.5 if weighted else 1.0), atol=1e-12)
    assert torch.allclose(ex.output, model(*given_))
    ex.check()


GRIDS = {
    "sum": ({"mode": "sum"}, False),
    "mean": ({"mode": "mean"}, False),
    "mean with padding": ({"mode": "mean", "padding_idx": 1}, False),
    "max": ({"mode": "max"}, False),
    "max with padding": ({"mode": "max", "padding_idx": 8}, False),
    "weights": ({"mode": "sum", "padding_idx": 0}, True),
}


@pytest.mark.parametrize("kind", GRIDS)
def test_bags_that_are_rows_keep_the_axes_of_ids(kind):
    options, weighted = GRIDS[kind]

    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            self.bag = nn.EmbeddingBag(ROWS, WIDTH, **options).double()
            self.register_buffer("head", draw(WIDTH, 2, seed=1))

        def forward(self, ids, weights=None):
            return self.bag(ids, per_sample_weights=weights) @ self.head

    model, weights = Bag().eval(), draw(2, 4, seed=5).abs()
    engine = Engine(model, (IDS, weights) if weighted else (IDS,))
    more = torch.cat([IDS, IDS.flip(1), IDS % 3])
    for ids in (IDS, more):
        given_ = (ids, weights.repeat(3, 1)[: len(ids)]) if weighted else (ids,)
        ex = engine.explain(given_, target=0)
        assert torch.allclose(ex.output, model(*given_))
        ex.check()
        assert ex.relevance["ids"].shape == (*ids.shape, WIDTH)
        for row, found in enumerate(ex.relevance["ids"]):
            w = given_[1][row] if weighted else torch.ones(4, dtype=torch.float64)
            by_hand = grid_row_by_hand(model.bag, ids[row], w, model.head[:, 0]).detach()
            assert torch.allclose(found, by_hand * (0.5 if weighted else 1.0), atol=1e-12)


def grid_row_by_hand(bag: nn.EmbeddingBag, ids: Tensor, weights: Tensor, c: Tensor) -> Tensor:
    """Relevance of the rows of one bag; those that tie for a maximum share it."""
    found = torch.zeros(len(ids), WIDTH, dtype=torch.float64)
    places = [k for k in range(len(ids)) if int(ids[k]) != bag.padding_idx]
    rows = {k: bag.weight[ids[k]] * weights[k] for k in places}
    for k in places:
        share = c * rows[k] / (len(places) if bag.mode == "mean" else 1)
        best = torch.stack(list(rows.values())).amax(0)
        ties = sum((row == best).double() for row in rows.values())
        found[k] = share * (rows[k] == best) / ties if bag.mode == "max" else share
    return found


class Masked(nn.Module):
    """Attention with an additive mask, pooling by the mask, and positions counted from ids."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(ROWS, 4), nn.Embedding(ROWS, 4)
        self.head = nn.Linear(4, 2, bias=False)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        h = self.words(ids) + self.places(ids.ne(0).long().cumsum(1))
        scores = h @ h.mT + ((1 - mask) * -1e9)[:, None, :]
        h = h + scores.softmax(-1) @ h
        weight = mask.to(h.dtype)[..., None]
        return self.head((h * weight).sum(1) / weight.sum(1))


MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])


def test_a_mask_is_a_control_and_costs_no_budget():
    engine = Engine(Masked().double().eval(), (IDS, MASK))
    coverage = engine.coverage()
    assert [use.name for use in coverage.controls] == ["mask"]
    assert not coverage.unreached
    assert "control: mask" in coverage.line()
    ex = engine.explain((IDS, MASK), target=1)
    assert list(ex.relevance) == ["ids"]
    assert ex.ledger.absorbed["control"] != 0  # the positions, which are counted from ids
    report = checks.check(engine, (IDS, MASK), 1)
    (finding,) = [f for f in report.findings if f.check == "inputs"]
    assert finding.ok, finding


class Signed(nn.Module):
    """One input of which only the sign counts."""

    def forward(self, x: Tensor, trend: Tensor) -> Tensor:
        return x + 2 * trend.sign()


def test_an_unreached_input_is_named_and_held_to_the_budget():
    x, trend = draw(2, 3), draw(2, 3, seed=1)
    engine = Engine(Signed().eval(), (x, trend))
    (use,) = engine.coverage().unreached
    assert (use.name, use.op) == ("trend", "aten.sign.default")
    ex = engine.explain((x, trend), target=0)
    assert ex.ledger.absorbed["unreached input"] == pytest.approx(
        float(2 * trend[:, 0].sign().sum())
    )
    assert any("trend" in note for note in ex.provenance.notes)
    with pytest.raises(SourceError, match=r"trend.*aten\.sign"):
        ex.check()
    ex.check(unreached=1)
    report = checks.check(engine, (x, trend), 0)
    assert [f.check for f in report.failed] == ["inputs"]
    assert report.failed[0].place.op == "aten.sign.default"
    assert checks.check(engine, (x, trend), 0, budget=checks.Budget(unreached=1)).ok


def test_a_circuit_model_starts_at_the_same_places():
    model = Beside(lambda t, i: t[(i + 3) % ROWS]).eval()
    circuit = CircuitModel(model, {"ids": IDS, "beside": BESIDE})
    leaves = circuit.leaves({"ids": IDS, "beside": BESIDE})
    found = [leaves[place] for place in circuit.embedding_places()]
    assert not any(use.kind is InputKind.UNREACHED for use in circuit.inputs)
    assert any(
        v.shape == BESIDE.shape and torch.equal(v, model.table[(IDS + 3) % ROWS]) for v in found
    )


def test_without_the_mechanism_an_embedding_is_lost(monkeypatch):
    nothing = ChosenEntries((), frozenset())
    monkeypatch.setattr(sources_module, "choose_entries", lambda walk, output: nothing)
    model = Beside(lambda t, i: t[(i + 3) % ROWS]).eval()
    ex = explain(model, {"ids": IDS, "beside": BESIDE}, target=1)
    assert list(ex.relevance) == ["beside"]
    assert ex.ledger.absorbed["unreached input"] != 0  # and still it is not called constant
    with pytest.raises(SourceError, match="ids"):
        ex.check()


def test_every_record_declares_the_integers_that_it_reads():
    for target, records in standard().ops.items():
        for op in records if not isinstance(target, str) else ():
            for call in op.samples:
                arguments = bind(target, *call.make())
                for operand in operands_of(tuple(arguments), arguments):
                    dtype = pick(arguments, operand).dtype
                    declared = (*op.operands, *op.selectors, *op.templates)
                    plain = dtype.is_floating_point or dtype.is_complex or dtype is torch.bool
                    assert plain or operand.name in declared, (target, operand)


STEPS = {
    "add": lambda i: i + 2,
    "times": lambda i: i * 3,
    "cast": lambda i: i.int().long(),
    "clamp": lambda i: i.clamp(1, 6),
    "fill": lambda i: i.masked_fill(i > 5, 2),
    "where": lambda i: torch.where(i % 2 == 0, i, 4),
    "write": written_over,
    "floor": lambda i: i // 2,
    "flip": lambda i: i.flip(1),
    "abs": lambda i: (i - 4).abs(),
    "float": lambda i: (i.double() * 1.5).long(),
    "max": lambda i: torch.maximum(i, i.flip(1)),
}
ENDS = {name: LOOKUPS[name][0] for name in ("index", "one_hot", "equal", "scatter", "gather")}


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=4), st.sampled_from(sorted(ENDS)))
def test_random_integer_paths_are_explained(steps, end):
    def enter(table: Tensor, ids: Tensor) -> Tensor:
        for step in steps:
            ids = STEPS[step](ids)
        return ENDS[end](table, ids % ROWS)

    model = Beside(enter).eval()
    ex = explain(model, {"ids": IDS, "beside": BESIDE}, target=0, dynamic=False)
    arrived = sum(R.reshape(2, -1).sum(1) for R in ex.relevance.values())
    assert torch.allclose(arrived, model(IDS, BESIDE)[:, 0], atol=1e-12)
    assert not ex.ledger.absorbed.get("constant")
    assert not ex.provenance.unreached
