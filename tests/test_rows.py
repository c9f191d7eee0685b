"""Relevance and outputs at one row give what the whole output gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lrp_engine import Engine, Explanation
from lrp_engine.errors import InputError, PromiseError, TargetError
from lrp_engine.graphs.nodes import value
from lrp_engine.method.registry import standard
from lrp_engine.plan.rowwise import find_row_operands
from tests.references import models
from tests.support import assert_close, draw, seeded

WORDS, POSITIONS = 11, 5


class Mixed(nn.Module):
    """Rows meet in the middle; above and below are all kinds of ops on single rows."""

    def __init__(self) -> None:
        super().__init__()
        self.below, self.inner = nn.Linear(6, 6), nn.Linear(6, 12)
        self.norm, self.outer, self.head = nn.LayerNorm(6), nn.Linear(6, 6), nn.Linear(6, WORDS)
        self.place = nn.Parameter(torch.randn(1, POSITIONS, 6))
        self.gain = nn.Parameter(torch.randn(6))

    def forward(self, x: Tensor, shift: Tensor) -> Tensor:
        low = torch.tanh(self.below(x + self.place))
        mixed = low + low.softmax(1).cumsum(1) * 0.5
        a, b = self.inner(mixed).chunk(2, -1)
        high = mixed + self.outer(self.norm(a * b.sigmoid())) * self.gain + shift
        scale = torch.rsqrt(high.pow(2).mean(-1, keepdim=True) + 1e-5)
        return self.head(high * scale).relu()


def mixed(**options: object) -> tuple[Engine, dict[str, Tensor]]:
    inputs = {"x": draw(3, POSITIONS, 6), "shift": draw(3, 1, 6, seed=1)}
    return Engine(seeded(Mixed), inputs, **options), inputs


def language(name: str) -> tuple[Engine, dict[str, Tensor]]:
    build = {"gpt2": models.gpt2, "llama": models.llama}[name]
    model, inputs = build(attn_implementation="sdpa", batch=3)
    return Engine(model, inputs), inputs


def made(name: str) -> tuple[Engine, dict[str, Tensor]]:
    return mixed() if name == "mixed" else language(name)


each = pytest.mark.parametrize(
    "name", ["mixed", "gpt2", pytest.param("llama", marks=pytest.mark.slow)]
)


def seed_at(shape: torch.Size, classes: list[int], rows: list[int]) -> Tensor:
    """The coefficient of the whole output that a class at a row per sample means."""
    seed = torch.zeros(shape, dtype=torch.float64)
    seed[torch.arange(shape[0]), rows, classes] = 1.0
    return seed


def assert_same(found: Explanation, expected: Explanation) -> None:
    assert_close(found.explained, expected.explained, 1e-12)
    for source, relevance in expected.relevance.items():
        assert_close(found.relevance[source], relevance, 1e-12)
        assert_close(found.coefficient[source], expected.coefficient[source], 1e-12)


@each
def test_rows_are_what_the_whole_output_gives(name):
    engine, inputs = made(name)
    output = engine.forward(inputs).explained_output
    classes, rows = [1, 4, 2], [0, 3, 4]
    expected = engine.explain(inputs, seed_at(output.shape, classes, rows))
    whole = engine.explain(inputs, classes, position=rows, full_output=True)
    alone = engine.explain(inputs, classes, position=rows, full_output=False)
    assert_same(whole, expected)
    assert_same(alone, expected)
    assert torch.equal(whole.output if name == "mixed" else whole.output.logits, output)
    assert alone.output is None


@each
def test_the_ledger_and_the_file_of_rows_alone(name, tmp_path):
    engine, inputs = made(name)
    found = engine.explain(inputs, 3, position=-1, full_output=False)
    expected = engine.explain(inputs, 3, position=-1).ledger
    assert found.check().ledger.arrived == pytest.approx(expected.arrived, rel=1e-12)
    assert found.ledger.absorbed == pytest.approx(expected.absorbed, rel=1e-9, abs=1e-15)
    loaded = Explanation.load(found.save(tmp_path / "row.safetensors"))
    for source, relevance in found.relevance.items():
        assert torch.equal(loaded.relevance[source], relevance)


@each
def test_the_programs_of_a_row_can_be_read_and_run(name):
    engine, inputs = made(name)
    program, leaves = engine.row_program, list(inputs.values())
    expected = engine.explain(inputs, 3, position=1)
    row, *kept = program.forward(*leaves, torch.tensor([1, 1, 1]))
    assert torch.equal(row[:, 0, 3], expected.explained)
    seed = torch.zeros_like(row).index_fill_(-1, torch.tensor([3]), 1.0)
    found = program.relevance([seed, *leaves, torch.tensor([1, 1, 1]), *kept])
    assert torch.equal(found[0], next(iter(expected.relevance.values())))
    assert program.kept_bytes < engine.program.kept_bytes
    assert program.memory.peak == engine.memory(full_output=False).peak


@each
def test_only_the_row_is_computed_above_the_last_mixing(name):
    engine, inputs = made(name)
    engine.explain(inputs, 3, position=-1, full_output=False)
    program = engine.row_program.forward.graph
    classes = engine.plan.output.node.meta["val"].shape[-1]
    wide = [value(n).shape for n in program.nodes if isinstance(value(n), Tensor)]
    logits = [shape for shape in wide if len(shape) == 3 and shape[-1] == classes]
    assert {shape[1] for shape in logits} == {1}
    if name != "gpt2":  # whose layers flatten their rows (as chunk ends them in "mixed")
        sums = [n for n in program.nodes if "linear" in str(n.target)]
        assert sum(str(value(n).shape[1]) == "1" for n in sums) == {"mixed": 2, "llama": 5}[name]


def test_a_source_in_the_rows_gets_relevance_of_its_own_shape():
    engine, inputs = mixed(sources=["x", "outer", "norm"])
    expected = engine.explain(inputs, seed_at(torch.Size([3, POSITIONS, WORDS]), [2] * 3, [1] * 3))
    for options in ({"full_output": True}, {"full_output": False}):
        assert_same(engine.explain(inputs, 2, position=1, **options), expected)


@pytest.mark.parametrize("policy", ["balanced", "low_memory"])
def test_policies_do_not_change_rows(policy):
    engine, inputs = language("llama")
    expected = engine.explain(inputs, 3, position=2, full_output=True)
    lean = engine.with_policy(policy)
    assert_same(lean.explain(inputs, 3, position=2, full_output=False), expected)


@pytest.mark.parametrize("policy", ["keep", "low_memory"])
def test_the_output_is_computed_when_it_is_asked_for(policy):
    engine, inputs = language("llama")
    engine = engine.with_policy(policy)
    expected = engine.explain(inputs, 3, position=2, full_output=True)
    assert expected.stored_output is not None
    found = engine.explain(inputs, 3, position=2)
    assert found.stored_output is None
    assert_same(found, expected)
    assert torch.equal(found.output["logits"], expected.output["logits"])
    assert found.output is found.output
    peaks = [engine.memory(full_output=whole).peak for whole in (True, False)]
    assert peaks[1] < peaks[0]


def test_targets_that_need_the_whole_output_have_it():
    engine, inputs = mixed()
    needy = [{"position": slice(0, 2)}, {"position": 1, "ledger": True}]
    for options in needy:
        found = engine.explain(inputs, 3, **options)
        assert found.stored_output is not None
    seed = seed_at(torch.Size([3, POSITIONS, WORDS]), [3] * 3, [1] * 3)
    assert_same(found, engine.explain(inputs, seed))


def test_a_recorded_capture_computes_the_output_that_it_is_compared_by():
    class Branches(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x if x.sum() > 0 else -x)

    engine = Engine(seeded(Branches, 6, WORDS), draw(2, POSITIONS, 6).abs())
    found = engine.explain(draw(2, POSITIONS, 6, seed=1).abs(), 3, position=1)
    assert found.provenance.captured == "recorded"
    assert found.stored_output is not None


def test_an_output_that_another_run_would_not_give_again_is_kept():
    class Noisy(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + torch.rand_like(x))

    engine = Engine(seeded(Noisy, 6, WORDS), draw(2, POSITIONS, 6))
    found = engine.explain(draw(2, POSITIONS, 6), 3, position=1)
    assert_close(found.output[:, 1, 3], found.explained)


def test_an_output_asked_for_too_late_is_refused():
    engine, inputs = language("llama")
    found = engine.explain(inputs, 3, position=-1)
    inputs["input_ids"].add_(0)
    with pytest.raises(InputError, match="full_output=True"):
        _ = found.output


def test_a_budget_too_small_for_the_output_may_do_for_a_row():
    engine, inputs = language("llama")
    row = engine.with_policy("low_memory").memory(full_output=False).peak
    with pytest.raises(PromiseError) as refusal:
        _ = engine.with_policy(row).program
    assert "the smallest that would" in str(refusal.value)
    tight = engine.with_policy(row)
    found = tight.explain(inputs, 3, position=-1)
    assert found.stored_output is None
    assert_same(found, engine.explain(inputs, 3, position=-1, full_output=True))
    assert tight.memory(full_output=False).peak <= row
    short = models.tokens(1, 1, 6)  # a size of 1 is compared with the model
    whole = engine.explain(short, 3, position=-1, full_output=True)
    assert_same(tight.explain(short, 3, position=-1), whole)
    with pytest.raises(PromiseError):
        tight.explain(inputs, 3, position=slice(0, 2))


def test_other_sizes_are_served():
    engine, _ = language("llama")
    for batch, length in [(1, 6), (2, 9), (3, 1)]:
        inputs = models.tokens(1, batch, length)
        found = engine.explain(inputs, 3, position=-1, full_output=False)
        assert_same(found, engine.explain(inputs, 3, position=-1, full_output=True))


def test_what_cannot_be_explained_at_rows_alone_is_refused():
    engine, inputs = mixed()
    for target, options, fact in [
        (3, {}, "needs a position"),
        (3, {"position": slice(0, 2)}, "needs a position"),
        (None, {"position": 0}, "only classes"),
        (lambda y: y.sum(), {"position": 0}, "only classes"),
        (WORDS, {"position": 0}, "out of range"),
        (0, {"position": POSITIONS}, "out of range"),
    ]:
        with pytest.raises(TargetError, match=fact):
            engine.explain(inputs, target, full_output=False, **options)
    with pytest.raises(InputError, match="ledger"):
        engine.explain(inputs, 3, position=0, full_output=False, ledger=True)
    flat = Engine(seeded(nn.Linear, 3, 4), draw(2, 3))
    with pytest.raises(InputError, match="computing one position requires the others"):
        flat.explain(draw(2, 3), 1, position=0, full_output=False)


class Calls(nn.Module):
    """One call, whose op may or may not act on rows."""

    def __init__(self, call: object) -> None:
        super().__init__()
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x)


F = nn.functional
W, B = draw(6, 6), draw(6)


@pytest.mark.parametrize(
    "call, rowwise",
    [
        (lambda x: F.linear(x, W, B), True),
        (lambda x: x @ W, True),
        (lambda x: x.sum(-1), True),
        (lambda x: x.mean(2, keepdim=True), True),
        (lambda x: F.layer_norm(x, [6], B), True),
        (lambda x: F.rms_norm(x, [6], B), True),
        (lambda x: x * B, True),
        (lambda x: x + W[None, :1], True),
        (lambda x: x + W[:1], True),
        (torch.rsqrt, True),
        (lambda x: x.mean(1, keepdim=True), False),
        (lambda x: x.sum((-1, 1)), False),
        (lambda x: x.softmax(-1), False),
        (lambda x: F.layer_norm(x, [POSITIONS, 6]), False),
        (lambda x: x + W[None, :POSITIONS], False),
        (lambda x: x.cumsum(-1), False),
        (lambda x: x.flip(1), False),
        (lambda x: x @ x.mT, False),
    ],
)
def test_calls_that_act_on_rows_are_known(call, rowwise):
    """What is said to act on rows gives, of one row, that row; what is not known to is left out."""
    captured = Engine(Calls(call).eval(), draw(3, POSITIONS, 6).abs(), preset="gradient").captured
    node = captured.outputs[0].node
    assert (find_row_operands(node, standard()) is not None) is rowwise
    if rowwise:
        x = draw(3, POSITIONS, 6, seed=1).abs()
        assert_close(call(x[:, 2:3]), call(x)[:, 2:3], 1e-14)


def test_every_record_that_declares_rows_is_among_those_calls():
    declared = {str(t) for t, ops in standard().ops.items() if any(op.rowwise for op in ops)}
    tried = {
        "linear.default",
        "matmul.default",
        "sum.dim_IntList",
        "mean.dim",
        "layer_norm.default",
    }
    assert declared == {f"aten.{name}" for name in tried | {"rms_norm.default"}}
