"""ONNX's own tests, through capture: what passes, how many, and that the rest is on a list."""

from collections import Counter

import pytest
import torch

from .conformance import Case, cases, failures, left, plain_failure

TOGETHER = 24  # models that are captured in one program: export's fixed cost is paid once


# Every case is imported and run below; captured are those of every eighth part, the rest if slow.
COUNT = 72
PARTS = [pytest.param(p, marks=[pytest.mark.slow] if p % 8 else []) for p in range(COUNT)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", PARTS)
def test_captured_program_gives_what_onnx_says(part: int) -> None:
    passing = [case for case in cases() if case.name not in left()]
    assert len(passing) <= COUNT * TOGETHER
    assert failures(passing[part * TOGETHER : (part + 1) * TOGETHER]) == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("eighth", range(8))
def test_imported_model_gives_what_onnx_says(eighth: int) -> None:
    passing = [case for case in cases() if case.name not in left()]
    assert [c.name for c in passing[eighth::8] if plain_failure(c) is not None] == []


def test_enough_pass() -> None:
    """Of the tests of ONNX 1.23; a later version may have more."""
    counts = Counter(case.kind for case in cases() if case.name not in left())
    assert counts["direct"] >= 1036
    assert counts["expanded"] >= 362
    assert counts["old opset"] >= 117


@pytest.mark.skipif(torch.__version__ >= (2, 14), reason="newer torch has more ops for uint16")
def test_what_is_left_does_fail() -> None:
    named = {case.name: case for case in cases()}
    assert set(left()) <= set(named)
    assert [name for name in left() if plain_failure(named[name]) is None] == []


def test_a_wrong_op_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself: a slope that is off by a tenth."""
    from lrp_engine.onnx import interpret

    original = interpret.ImportScope.entry

    def wrong(self, step, *, on_host=False):  # type: ignore[no-untyped-def]
        entry = original(self, step, on_host=on_host)
        if step.op == "LeakyRelu" and entry is not None:
            return lambda node, inputs, attributes: torch.nn.functional.leaky_relu(inputs[0], 0.011)
        return entry

    monkeypatch.setattr(interpret.ImportScope, "entry", wrong)
    some: list[Case] = [case for case in cases() if case.name == "test_leakyrelu_default"]
    assert len(some) == len(failures(some)) == 1
