"""State space models are captured scanning in place of stepping, and give what the loop gives."""

from __future__ import annotations

import importlib
import operator
from functools import cache
from typing import Any

import pytest
import torch
import transformers as tf
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.capture import scans
from lrp_engine.capture.captured import CaptureMode
from lrp_engine.errors import CaptureError
from lrp_engine.preset.preset_file import presets
from tests.support import assert_close, draw
from tests.zoo.decoders import SMALL, mamba
from tests.zoo.entry import StayDouble, ids, lively

OP = torch.ops.lrp_engine.linear_recurrence.default
TORCH = importlib.import_module("torch._higher_order_ops.associative_scan")
STATES = {"mamba_d_state": 4, "mamba_dt_rank": 4, "use_mamba_kernels": False}


def falcon_mamba() -> nn.Module:
    config = {k: SMALL[k] for k in ("vocab_size", "hidden_size", "num_hidden_layers")}
    return tf.FalconMambaForCausalLM(
        tf.FalconMambaConfig(**config, state_size=4, time_step_rank=4, pad_token_id=0)
    )


def jamba() -> nn.Module:
    settings = SMALL | {"num_hidden_layers": 4, "num_experts": 1, "num_experts_per_tok": 1}
    return tf.JambaForCausalLM(
        tf.JambaConfig(**settings, **STATES, attn_layer_period=2, attn_layer_offset=1)
    )


def zamba() -> nn.Module:
    settings = SMALL | {"num_hidden_layers": 6, "num_key_value_heads": 4, "n_mamba_heads": 2}
    heads = {"attention_hidden_size": 32, "attention_head_dim": 8}
    return tf.ZambaForCausalLM(
        tf.ZambaConfig(**settings, **STATES, **heads, attn_layer_period=3, attn_layer_offset=2)
    )


MODELS = {"mamba": mamba, "falcon_mamba": falcon_mamba, "jamba": jamba, "zamba": zamba}


def model_of(name: str, scanning: bool) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = lively(MODELS[name]().eval(), 0).double()
    for module in model.modules():
        if hasattr(module, "use_associative_scan"):
            module.use_associative_scan = scanning
    return model


def inputs(batch: int = 2, length: int = 5) -> dict[str, Tensor]:
    return {"input_ids": ids(batch, length)}


@cache
def engine_of(name: str, scanning: bool) -> lrp.Engine:
    with StayDouble():
        return lrp.Engine(model_of(name, scanning), inputs(), preset="attnlrp")


def explained(engine: lrp.Engine, given: dict[str, Tensor], **how: Any) -> lrp.Explanation:
    with StayDouble():
        return engine.explain(given, 1, position=-1, **how)


def preset(name: str) -> Any:
    box = {"low": -1.0, "high": 1.0} if "box" in name else {}
    return lrp.load_preset(name, **box)


SLOW = [pytest.param(n, marks=pytest.mark.slow) for n in MODELS if n != "mamba"]


def compare(name: str, chosen: str) -> None:
    scan, loop = (engine_of(name, s).with_preset(preset(chosen)) for s in (True, False))
    found, expected = (explained(e, inputs(), ledger=True) for e in (scan, loop))
    assert torch.equal(found.output["logits"], expected.output["logits"])
    assert_close(found.relevance["input_ids"], expected.relevance["input_ids"])
    found.check()
    for cause, lost in expected.ledger.absorbed.items():
        size = max(map(abs, expected.ledger.absorbed.values()))
        assert abs(found.ledger.absorbed[cause] - lost) <= 1e-9 * size, cause


# delta compares with a second run, for which these models are given no reference.
CHOSEN = [
    pytest.param(
        p, marks=[] if p in ("attnlrp", "epsilon_plus", "mambalrp") else [pytest.mark.slow]
    )
    for p in presets()
    if p != "delta"
]


@pytest.mark.parametrize("chosen", CHOSEN)
def test_a_scan_gives_what_the_loop_gives(chosen: str) -> None:
    compare("mamba", chosen)


@pytest.mark.parametrize("name", SLOW)
def test_relatives(name: str) -> None:
    """With attention beside the scan, too."""
    for chosen in ("attnlrp", "epsilon_plus"):
        compare(name, chosen)
    engine = engine_of(name, True)
    assert engine.captured.mode is CaptureMode.EXPORTED
    explained(engine, inputs(3, 11), ledger=True).check()


def test_one_small_graph_serves_every_length() -> None:
    engine, loop = engine_of("mamba", True), engine_of("mamba", False)
    scanning, stepping = (e.captured.graph for e in (engine, loop))
    assert len(scanning.find_nodes(op="call_function", target=OP)) == 2  # one per layer
    assert not stepping.find_nodes(op="call_function", target=OP)
    assert len(scanning.nodes) < len(stepping.nodes)
    assert len(engine.captured.shapes.free()) == 2
    assert any("scans" in note for note in engine.provenance.notes)
    for length in (1, 2, 3, 30):
        given = inputs(3, length)
        found = explained(engine, given, ledger=True).check()
        with StayDouble(), torch.no_grad():
            assert torch.equal(found.output["logits"], model_of("mamba", False)(**given).logits)


@pytest.mark.parametrize("policy", ["balanced", "low_memory"])
def test_policies_agree(policy: str) -> None:
    given = inputs(2, 9)
    found = explained(engine_of("mamba", True).with_policy(policy), given)
    expected = explained(engine_of("mamba", True), given)
    assert_close(found.relevance["input_ids"], expected.relevance["input_ids"], 1e-12)


def test_many_targets_and_gradients() -> None:
    engine, given = engine_of("mamba", True), inputs()
    with StayDouble():
        many = engine.explain_all(given, [0, 1, 2], position=-1)
    alone = explained(engine, given, create_graph=True)
    assert_close(many[1].relevance["input_ids"], alone.relevance["input_ids"], 1e-12)
    loop = explained(engine_of("mamba", False), given, create_graph=True)
    grads = []
    for ex, stepping in ((alone, True), (loop, False)):
        weight = engine_of("mamba", stepping).captured.tensors
        held = [t for n, t in sorted(weight.items()) if n.endswith(("a_log", "x_proj_weight"))]
        grads.append(torch.autograd.grad(ex.relevance["input_ids"].square().sum(), held))
    for found, expected in zip(*grads, strict=True):
        assert_close(found, expected)


@pytest.mark.slow
def test_compiled() -> None:
    model = model_of("mamba", True).float()
    plain, compiled = (lrp.Engine(model, inputs(), compile=c) for c in (False, True))
    for given in (inputs(), inputs(3, 11)):
        found, expected = (e.explain(given, 1, position=-1) for e in (compiled, plain))
        assert_close(found.relevance["input_ids"], expected.relevance["input_ids"], 1e-4)


def test_nothing_is_left_behind() -> None:
    from transformers.models.mamba import modeling_mamba as home

    def answers() -> tuple[Any, ...]:
        asked = (home.is_torchdynamo_compiling, home.is_torchdynamo_exporting)
        return (*asked, TORCH.associative_scan)

    before, model = answers(), model_of("mamba", True)
    with scans.allow_scans(model):
        assert all(now is not own for now, own in zip(answers(), before, strict=True))
    assert answers() == before
    with pytest.raises(CaptureError), scans.allow_scans(model):
        raise CaptureError("stopped half-way")
    assert answers() == before
    with scans.allow_scans(model_of("mamba", False)):
        assert answers() == before


class OwnScan(nn.Module):
    """A scan as the graph within a graph that torch makes of it on a GPU, or as our op."""

    def __init__(self, nested: bool) -> None:
        super().__init__()
        self.nested = nested

    def forward(self, x: Tensor) -> Tensor:
        def join(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
            return a * c, c * b + d

        if self.nested:
            return TORCH.associative_scan_op(join, [x.sigmoid(), x], ())[1].sum(0)
        return torch.ops.lrp_engine.linear_recurrence(x.sigmoid(), x, 0).sum(0)


def test_a_model_of_ones_own() -> None:
    x = draw(6, 2, 3)
    with pytest.raises(CaptureError, match=r"associative_scan in .*linear_recurrence"):
        lrp.Engine(OwnScan(nested=True).eval(), x)
    found = lrp.Engine(OwnScan(nested=False).eval(), x).explain(x, lambda out: out.sum())
    assert found.output.shape == (2, 3)
    found.check()


JOINS = {
    "as transformers": (lambda x, y: (x[0] * y[0], y[0] * x[1] + y[1]), True),
    "otherwise spelled": (lambda x, y: (y[0] * x[0], torch.add(y[1], x[1].mul(y[0]))), True),
    "a list": (lambda x, y: [operator.mul(x[0], y[0]), y[1] + x[1] * y[0]], True),
    "no decay": (lambda x, y: (x[0] + y[0], x[1] + y[1]), False),
    "decay of the wrong side": (lambda x, y: (x[0] * y[0], x[0] * x[1] + y[1]), False),
    "a difference": (lambda x, y: (x[0] * y[0], y[0] * x[1] - y[1]), False),
    "a factor": (lambda x, y: (x[0] * y[0], 2 * (y[0] * x[1]) + y[1]), False),
    "alpha": (lambda x, y: (x[0] * y[0], torch.add(y[0] * x[1], y[1], alpha=2)), False),
    "sides exchanged": (lambda x, y: (x[0] * y[0], x[0] * y[1] + x[1]), False),
    "a branch": (lambda x, y: (x[0], x[1]) if (x[0] > 0).all() else y, False),
}


@pytest.mark.parametrize("name", JOINS)
def test_only_a_linear_recurrence_is_taken_for_one(name: str) -> None:
    """Any other scan is torch's own affair."""
    join, expected = JOINS[name]
    assert scans.is_recurrence(join) is expected
    calls: list[Any] = []
    scan = scans.make_scan(lambda *given, **settings: calls.append(given) or (1, 2))
    a, b = torch.rand(2, 4), torch.rand(2, 4)
    scan(join, (a, b), 1, combine_mode="generic")
    assert bool(calls) is not expected
