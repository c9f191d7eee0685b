"""Summarise the ledger as a flat dict of numbers, for any logger."""

from __future__ import annotations

from ..engine import Engine
from ..propagate.ledger import Ledger
from ..results.explanation import Explanation
from ..run.target import Position, Target


def monitor(
    engine: Engine,
    inputs: object,
    target: Target = None,
    *,
    position: Position = None,
    prefix: str = "lrp/",
) -> dict[str, float]:
    """Explain one batch and return the `summary` of its ledger.

    The engine reads the model's own parameters, so one engine serves a whole training run: build
    it once, with the model in eval mode, and call this in the validation loop.

    >>> import torch, lrp_engine as lrp
    >>> from lrp_engine import checks
    >>> model = torch.nn.Linear(4, 3).eval()
    >>> engine = lrp.Engine(model, torch.ones(1, 4))
    >>> sorted(checks.monitor(engine, torch.ones(2, 4), target=0))[:3]
    ['lrp/absorbed', 'lrp/absorbed/bias', 'lrp/amplification']
    """
    explanation = engine.explain(inputs, target, position=position, ledger=True)
    return summary(explanation, prefix)


def summary(explanation: Explanation | Ledger, prefix: str = "lrp/") -> dict[str, float]:
    """Return flat numbers; shares are relative to the sum of |R| that left the output.

    `explained` is the sum of the explained numbers; `arrived/SOURCE` and `absorbed/CAUSE` are net
    shares, `arrived` and `absorbed` their totals; `residual` is the largest of one op, relative to
    its sum of |R|; `amplification` the largest of one op; `growth` the largest sum of |R|.
    """
    ledger = explanation if isinstance(explanation, Ledger) else explanation.ledger
    sent = ledger.sent or 1.0
    found = {"explained": ledger.explained, "arrived": sum(ledger.arrived.values()) / sent}
    found |= {f"arrived/{name}": amount / sent for name, amount in ledger.arrived.items()}
    found["absorbed"] = sum(ledger.absorbed.values()) / sent
    found |= {f"absorbed/{cause}": amount / sent for cause, amount in ledger.absorbed.items()}
    found["residual"] = ledger.worst.error if ledger.worst else 0.0
    found["amplification"] = max((a.amplification for a in ledger.accounts), default=1.0)
    found["growth"] = ledger.size / sent
    return {f"{prefix}{name}": float(number) for name, number in found.items()}
