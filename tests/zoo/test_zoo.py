"""Every architecture of the table: nothing uncovered, nothing lost, nothing changed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lrp_engine as lrp
from lrp_engine.capture.captured import CaptureMode
from lrp_engine.run.inputs import check_layouts
from tests.support import assert_balances

from .entry import Entry, Inputs
from .table import ZOO

BATCH, LENGTH = 3, 7
FEWER, LONGER = 2, 9


# Left to `pytest -m slow`: relatives of models that are always checked, and the dearest ones.
SLOW = {
    *("clip", "deberta_v2", "deplot", "detr", "flan_t5", "gpt_neox", "mamba2", "mixtral_batched"),
    *("modernbert", "qwen2_moe", "qwen3", "roberta", "segformer", "siglip2", "swin", "wav2vec2"),
    *("whisper", "gemma3", "efficientnet_v2", "dinov2", "diffusion_block"),
    # Compared with references of their own in tests/test_attnlrp_reference.py.
    *("llama", "gpt2", "bert"),
}
ENTRIES = [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in ZOO]


@pytest.mark.parametrize("name", ENTRIES)
def test_architecture(name: str) -> None:
    """One capture serves all the checks."""
    entry = ZOO[name]
    model, engine = captured(entry)
    inputs = entry.inputs(BATCH, LENGTH)
    whole = explained(entry, engine, inputs)

    assert_covered(engine)
    assert_own_forward(entry, model, inputs, whole)
    assert_balances(whole.ledger, tolerance(entry))
    assert_other_sizes(entry, model, engine, whole)
    assert_other_layout(entry, engine, inputs, whole)
    assert_balances(
        explained(entry, engine.with_preset("epsilon"), inputs).ledger, tolerance(entry)
    )
    if entry.attention:
        _, eager = captured(entry, "eager", dynamic=False)
        assert_same(entry, explained(entry, eager, inputs, ledger=False), whole)


def captured(
    entry: Entry, attention: str | None = None, dynamic: Any = None
) -> tuple[nn.Module, lrp.Engine]:
    model, inputs = entry.model(attention), entry.inputs(BATCH, LENGTH)
    dynamic = entry.dynamic if dynamic is None else dynamic
    with entry.precision():
        return model, lrp.Engine(
            model, inputs, preset="attnlrp", output=entry.output, dynamic=dynamic
        )


def explained(
    entry: Entry, engine: lrp.Engine, inputs: Inputs, ledger: bool = True
) -> lrp.Explanation:
    with entry.precision():  # the first call runs the model itself
        return engine.explain(inputs, entry.target, position=entry.position, ledger=ledger)


def tolerance(entry: Entry, double: float = 1e-12, single: float = 1e-5) -> float:
    return double if entry.dtype == torch.float64 else single


def output_of(entry: Entry, result: Tensor | dict[str, Tensor]) -> Tensor:
    return result if isinstance(result, Tensor) else result[entry.output or "logits"]


def assert_covered(engine: lrp.Engine) -> None:
    """Every live op has a rule, and the capture holds for more than the example."""
    counts = engine.coverage().as_dict()
    assert counts["covered"] == counts["live"] > 0
    assert engine.captured.mode is CaptureMode.EXPORTED
    assert engine.captured.shapes.free()


def assert_own_forward(
    entry: Entry, model: nn.Module, inputs: Inputs, found: lrp.Explanation
) -> None:
    """Bit for bit what the model itself gives without gradients."""
    with torch.no_grad(), entry.precision():
        own = model(**inputs)
    assert torch.equal(output_of(entry, found.output), output_of(entry, own))


def assert_other_sizes(
    entry: Entry, model: nn.Module, engine: lrp.Engine, whole: lrp.Explanation
) -> None:
    """Samples are explained as they are without the rest of their batch; lengths may change."""
    if entry.batch:
        fewer = entry.inputs(FEWER, LENGTH)
        alone = explained(entry, engine, fewer)
        assert_own_forward(entry, model, fewer, alone)
        assert_same(entry, alone, whole)
    if entry.length:
        longer = entry.inputs(BATCH, LONGER)
        ex = explained(entry, engine, longer)
        assert_own_forward(entry, model, longer, ex)
        assert_balances(ex.ledger, tolerance(entry))


def assert_other_layout(
    entry: Entry, engine: lrp.Engine, inputs: Inputs, whole: lrp.Explanation
) -> None:
    """Inputs whose samples lie innermost in memory are the same inputs; parameters lie as they did
    when they were captured, or every failure would be blamed on them."""
    other = {name: x.movedim(0, -1).contiguous().movedim(-1, 0) for name, x in inputs.items()}
    assert_same(entry, explained(entry, engine, other, ledger=False), whole)
    check_layouts(engine.captured)


def assert_same(entry: Entry, found: lrp.Explanation, expected: lrp.Explanation) -> None:
    """The same relevance at every source for the samples that both have."""
    assert found.relevance.keys() == expected.relevance.keys()
    for source, relevance in found.relevance.items():
        wanted = expected.relevance[source][: len(relevance)]
        assert wanted.abs().max() > 0, source
        error = float((relevance - wanted).abs().max() / wanted.abs().max())
        assert error <= tolerance(entry, 1e-9, 1e-4), f"{source}: {error:.1e}"
