"""Draw nets: rows whose conditions hold for the values at hand, one after the other."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import torch
from hypothesis import assume
from hypothesis import strategies as st
from torch import Tensor

from tests.fuzz.nets import Net, Port, Step, StepModule, weight_seed
from tests.fuzz.ops import FAMILIES, ROWS
from tests.fuzz.rows import FLOAT, IDS, MASK, Row

PORTS = tuple(
    Port(kind, shape)
    for kind, shapes in (
        (FLOAT, [(6,), (3, 4), (2, 4, 4), (3,), (2, 2, 3, 3)]),
        (IDS, [(5,), (2, 3)]),
    )
    for shape in shapes
)
ENTRIES = 300  # of a value, per sample, at most
BATCH = 8  # enough that every id is met when a net is drawn
KINDS = {torch.float64: FLOAT, torch.int64: IDS, torch.bool: MASK}
EMBEDDING = next(row for row in ROWS if row.name == "embedding")


def kind_of(value: Tensor) -> str | None:
    return KINDS.get(value.dtype)


def is_sound(value: Tensor) -> bool:
    """A value that later steps may use: of moderate size, finite, one entry per sample or more."""
    if (
        kind_of(value) is None
        or value.shape[0] != BATCH
        or not 0 < value.numel() <= BATCH * ENTRIES
    ):
        return False
    if not value.is_floating_point():
        return value.dtype == torch.bool or bool(value.abs().max() < 10_000)
    return bool(value.isfinite().all()) and bool(value.abs().max() < 1e3)


def choices(
    row: Row, options: dict[str, object], values: Sequence[Tensor]
) -> list[tuple[int, ...]]:
    """The operands that a row may take; latest first, so that nets grow deep."""
    latest = range(len(values) - 1, -1, -1)
    by_slot = [[i for i in latest if kind_of(values[i]) == kind] for kind in row.operands]
    found = []
    for places in itertools.islice(itertools.product(*by_slot), 60):
        operands = [values[i] for i in places]
        if all(operand.dim() > 0 for operand in operands) and row.fits(*operands, **options):
            found.append(places)
    return found


def take(step: Step, at: int, values: list[Tensor]) -> bool:
    """Run a step and keep its result if it is sound; written operands are kept as they become."""
    before = [value.clone() for value in values]
    result = run_alone(step, at, [values[i] for i in step.operands])
    sound = result is not None and is_sound(result)
    if sound and all(kind_of(v) is None or is_sound(v) for v in values):
        values.append(result)
        return True
    values[:] = before
    return False


def run_alone(step: Step, at: int, operands: list[Tensor]) -> Tensor | None:
    """Return what a step gives; None where torch itself refuses these operands."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            return StepModule(step, operands, seed=weight_seed(at))(*operands)
        except (RuntimeError, TypeError, IndexError, ValueError, NotImplementedError):
            return None


@st.composite
def nets(
    draw: st.DrawFn, families: Mapping[str, Sequence[Row]] = FAMILIES, longest: int = 8
) -> Net:
    """Nets of one to three inputs and up to `longest` steps, from families of rows."""
    ports = tuple(draw(st.lists(st.sampled_from(PORTS), min_size=1, max_size=3)))
    values = [port.sample(BATCH, seed=40 + i) for i, port in enumerate(ports)]
    steps: list[Step] = []
    for _ in range(draw(st.integers(1, 2 * longest))):
        row = draw(st.sampled_from(families[draw(st.sampled_from(sorted(families)))]))
        options = {name: draw(strategy) for name, strategy in row.options.items()}
        fitting = choices(row, options, values)
        if fitting and len(steps) < longest:
            step = Step(row, draw(st.sampled_from(fitting)), options)
            if take(step, len(steps), values):
                steps.append(step)
    return finished(Net(ports, tuple(steps)), values)


def finished(net: Net, values: Sequence[Tensor]) -> Net:
    """The net with an embedding at its end if it has no number yet."""
    if any(kind_of(value) == FLOAT for value in values):
        return net
    ids = next(i for i, value in enumerate(values) if kind_of(value) == IDS)
    return Net(net.ports, (*net.steps, Step(EMBEDDING, (ids,), {})))


def _by_name(name: str) -> Row:
    return next(row for row in ROWS if row.name == name)


def grounds() -> Iterator[tuple[tuple[Port, ...], tuple[Step, ...]]]:
    """Inputs and first steps on which a row may be tried alone, simplest first."""
    mask, turn = _by_name("above zero"), _by_name("transpose")
    for port in PORTS:
        yield (port,), ()
    for port in PORTS:
        yield (port, port), ()
        if port.kind == FLOAT:
            yield (port,), (Step(mask, (0,), {}),)
            yield (port, port), (Step(mask, (0,), {}),)
            yield (port, port), (Step(mask, (0,), {}), Step(mask, (1,), {}))
            if len(port.shape) > 1:
                yield (port, port), (Step(turn, (1,), {}),)
    for a, b in itertools.product(PORTS, repeat=2):
        yield (a, b), ()


@st.composite
def alone(draw: st.DrawFn, row: Row) -> Net:
    """A net whose last step is this row, on the first ground that it fits."""
    options = {name: draw(strategy) for name, strategy in row.options.items()}
    for ports, steps in grounds():
        values = [port.sample(BATCH, seed=40 + i) for i, port in enumerate(ports)]
        for at, step in enumerate(steps):
            take(step, at, values)
        fitting = choices(row, options, values)
        if fitting and take(last := Step(row, fitting[0], options), len(steps), values):
            return finished(Net(ports, (*steps, last)), values)
    assume(False)
    raise AssertionError(f"{row} fits nowhere")
