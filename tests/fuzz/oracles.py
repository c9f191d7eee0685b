"""What must hold of every explanation: one small function each, on a case."""

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from lrp_engine import Engine, Explanation
from lrp_engine.promises.policy import Policy
from tests.fuzz.nets import CLASSES, Net, build, clone, own_output
from tests.fuzz.outcomes import require

Inputs = Sequence[Tensor]
CLOSE = 1e-9  # relative to the largest sum of |R| at any op
COARSE = 1e-5


class Case:
    """A net with its model, and engines on it that share one capture."""

    def __init__(self, net: Net, *, dynamic: bool = False, preset: str = "attnlrp") -> None:
        self.net, self.dynamic, self.preset = net, dynamic, preset
        self.model, self.inputs = build(net), net.inputs()
        self.close = COARSE if net.coarse else CLOSE

    def new_engine(self, **options: object) -> Engine:
        return Engine(
            self.model,
            clone(self.inputs),
            preset=self.preset,
            dynamic=self.dynamic,
            **options,  # type: ignore[arg-type]
        )

    @cached_property
    def engine(self) -> Engine:
        return self.new_engine()

    @cached_property
    def audited(self) -> Explanation:
        """The explanation of the case, with its ledger."""
        return explain(self.engine, self.inputs, ledger=True)

    @cached_property
    def size(self) -> float:
        """The largest sum of |R| that any op handled: what rounding is relative to."""
        return size_of(self.audited)


def targets(inputs: Inputs) -> list[int]:
    """Another class for each sample."""
    return [i % CLASSES for i in range(len(inputs[0]))]


def explain(engine: Engine, inputs: Inputs, **options: object) -> Explanation:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return engine.explain(clone(inputs), targets(inputs), **options)  # type: ignore[arg-type]


def size_of(ex: Explanation) -> float:
    sizes = [account.size for account in ex.ledger.accounts]
    return max([*sizes, *ex.explained.abs().tolist(), 1e-30])


def distance(found: Explanation, expected: Explanation) -> float:
    """The largest difference of relevance at any source."""
    pairs = zip(found.relevance.values(), expected.relevance.values(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


def require_close(found: Explanation, expected: Explanation, size: float, close: float) -> None:
    away = distance(found, expected)
    require(away <= close * size, f"relevance differs by {away:.3g}, {away / size:.1e} of sum |R|")


# --- the oracles ---------------------------------------------------------------------------------


def forward_is_the_models(case: Case) -> None:
    """To the bit; ops that were taken apart may round otherwise."""
    if case.net.draws:
        return
    require_own(case, case.audited.output, own_output(case.model, case.inputs))


def require_own(case: Case, output: Tensor, own: Tensor) -> None:
    if torch.equal(output, own):
        return
    away = float((output - own).abs().max())
    may_round = case.engine.captured.taken_apart or any(s.row.reordered for s in case.net.steps)
    room = 1e-12 * float(own.abs().max()) if may_round else 0.0
    require(away <= room, f"the output differs from the model's by {away:.3g}")


def is_finite(case: Case) -> None:
    for name, relevance in case.audited.relevance.items():
        require(relevance.isfinite().all(), f"relevance at {name} is not finite")


def sums_to_the_output(case: Case) -> None:
    """Relevance and what is booked add up to the explained numbers; every op's account closes."""
    balance(case.audited, case.close)


def balance(ex: Explanation, close: float) -> None:
    arrived = sum(float(R.sum()) for R in ex.relevance.values())
    booked = sum(ex.ledger.absorbed.values())
    lost = float(ex.explained.sum()) - arrived - booked
    size = size_of(ex)
    require(abs(lost) <= close * size, f"{lost:.3g} of relevance is lost, {lost / size:.1e}")
    for account in ex.ledger.accounts:
        require(
            abs(account.residual) <= close * max(account.size, 1e-6 * size),
            f"{account.op} by {account.rule} does not balance: {account.text()}",
        )


def other_data_are_served(case: Case) -> None:
    """Other numbers of the same sizes: what the capture took for constant is still checked."""
    if case.net.draws:
        return
    inputs = case.net.inputs(seed=50)
    own = own_output(case.model, inputs)
    if own.isfinite().all():
        ex = explain(case.engine, inputs, ledger=True)
        require_own(case, ex.output, own)
        balance(ex, case.close)


def other_preset(preset: str) -> Callable[[Case], None]:
    """Sums under another preset."""

    def sums_under(case: Case) -> None:
        ex = explain(case.engine.with_preset(preset), case.inputs, ledger=True)
        if all(R.isfinite().all() for R in ex.relevance.values()):
            balance(ex, max(case.close, 1e-8))
            return
        require(False, f"relevance under {preset} is not finite")

    return sums_under


def samples_are_independent(case: Case) -> None:
    """Sample i alone gives what sample i gives in the batch."""
    if case.net.draws or not case.dynamic:
        return
    for i in range(len(case.inputs[0])):
        one = [x[i : i + 1] for x in case.inputs]
        ex = case.engine.explain(clone(one), targets(case.inputs)[i : i + 1])
        for name, relevance in case.audited.relevance.items():
            # A look-up of flattened ids has the samples' rows one after the other.
            whole = relevance.reshape(len(case.inputs[0]), -1)[i]
            away = float((ex.relevance[name].reshape(-1) - whole).abs().max())
            require(
                away <= case.close * case.size,
                f"relevance of sample {i} at {name} depends on its batch: {away / case.size:.1e}",
            )


def other_sizes_are_served(case: Case) -> None:
    """One engine serves other batches, and agrees with an engine made for that size."""
    if case.net.draws or not case.dynamic:
        return
    for batch in (3, 5):
        inputs = case.net.inputs(batch, seed=20)
        output = explain(case.engine, inputs).output
        own = own_output(case.model, inputs)
        away = float((output - own).abs().max())
        require(
            away <= 1e-12 * float(own.abs().max()) + 1e-14, f"batch {batch}: output off by {away}"
        )
    fixed = Engine(case.model, clone(inputs), preset=case.preset, dynamic=False)
    require_close(explain(case.engine, inputs), explain(fixed, inputs), 10 * case.size, case.close)


def policies_agree(case: Case) -> None:
    for policy in Policy:
        ex = explain(case.engine.with_policy(policy), case.inputs)
        require_close(ex, case.audited, case.size, case.close)


ALWAYS = (forward_is_the_models, is_finite, sums_to_the_output)
SIZES = (samples_are_independent, other_sizes_are_served)
