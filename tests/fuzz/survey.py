"""Run many cases in one process and list what failed, kind by kind.

python -m tests.fuzz.survey alone                             every row by itself
python -m tests.fuzz.survey nets --cases 500 --seed 3         drawn nets
python -m tests.fuzz.survey presets|ways|compiled|files --cases 500
python -m tests.fuzz.survey again "Net(f[6]: 'relu'(0))"      a finding, as it was printed
"""

import argparse
import base64
import itertools
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")  # as in tests/conftest.py

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.generate import alone, nets
from tests.fuzz.gradients import gradient_is_autograds
from tests.fuzz.nets import Net
from tests.fuzz.onnx_mutations import damaged_files
from tests.fuzz.onnx_oracle import serving
from tests.fuzz.ops import ROWS
from tests.fuzz.oracles import (
    ALWAYS,
    SIZES,
    Case,
    other_data_are_served,
    other_preset,
    policies_agree,
)
from tests.fuzz.outcomes import Failure, judge
from tests.fuzz.reread import net_from
from tests.fuzz.ways import compiled_by, scores_are_coefficients_times_differences, threads_agree

Oracle = Callable[[Case], None]
PRESETS = (
    "attnlrp_gamma", "cp_lrp", "dynamiclrp", "epsilon_plus", "excitation_backprop", "gamma",
    "lstm_all", "mambalrp", "relp",
)  # fmt: skip
EACH: Sequence[Oracle] = (*ALWAYS, gradient_is_autograds, other_data_are_served, *SIZES)
ORACLES: dict[str, Sequence[Oracle]] = {
    "alone": EACH,
    "nets": EACH,
    "again": (*EACH, policies_agree, threads_agree, scores_are_coefficients_times_differences),
    "ways": (threads_agree, scores_are_coefficients_times_differences),
}
SLOW = 20  # seconds that are worth a line


class TimeIsUp(BaseException):
    """No Exception, so that hypothesis passes it on."""


def visit_all(strategy: object, cases: int, first: int, visit: Callable[[object], None]) -> None:
    """Draw so many cases and visit each; nothing is shrunk or remembered."""
    quiet = settings(
        max_examples=cases,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    seed(first)(quiet(given(strategy)(visit)))()  # type: ignore[call-overload]


def strategies(chosen: argparse.Namespace) -> Iterator[tuple[object, int]]:
    """What is drawn, and how often."""
    if chosen.what == "alone":
        for row in (row for row in ROWS if re.search(chosen.like, row.name)):
            yield alone(row), chosen.cases if row.options else 1
    elif chosen.what == "again":
        yield st.just(net_from(chosen.net)), 1
    else:
        yield (damaged_files() if chosen.what == "files" else nets()), chosen.cases


def oracles_of(what: str, turn: int) -> Sequence[Oracle]:
    """Name the oracles of a kind of case; presets and backends take turns."""
    if what == "presets":
        preset = PRESETS[turn % len(PRESETS)]
        return (policies_agree, other_preset("epsilon"), other_preset(preset))
    if what == "compiled":
        return (compiled_by(("eager", "aot_eager")[turn % 2]),)
    return ORACLES[what]


def run_net(net: Net, chosen: argparse.Namespace, turn: int) -> Callable[[], None]:
    """Return a run of a net under the oracles of its kind."""

    def run() -> None:
        case = Case(net, dynamic=chosen.dynamic)
        for oracle in oracles_of(chosen.what, turn):
            oracle(case)

    return run


def first_lines(text: str) -> str:
    return " ".join(text.split())[:400]


def told(run: Callable[[], None], case: object, tally: Counter[str]) -> None:
    """Judge a case, count it, and print it if it is refused, fails or is slow."""
    start = time.monotonic()
    try:
        outcome, why = judge(run)
        tally[outcome.value] += 1
        if why and isinstance(case, Net):
            print(f"REFUSED {case}: {first_lines(why)}", flush=True)
    except Failure as failure:
        tally[type(failure).__name__] += 1
        print(f"{type(failure).__name__} {case}: {first_lines(str(failure))}", flush=True)
    if time.monotonic() - start > SLOW:
        print(f"SLOW {time.monotonic() - start:.0f} s {case}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=[*ORACLES, "presets", "compiled", "files"])
    parser.add_argument("net", nargs="?", default="", help="a net, as it was printed")
    parser.add_argument("--cases", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="then it ends")
    parser.add_argument("--like", default="", help="rows whose name matches, tried alone")
    parser.add_argument("--dynamic", action="store_true", help="free sizes")
    return parser.parse_args()


def main() -> None:
    chosen, tally, turns = arguments(), Counter[str](), itertools.count()
    end = time.monotonic() + chosen.seconds
    folder = Path(tempfile.mkdtemp())

    def visit(case: Net | bytes) -> None:
        if time.monotonic() > end:
            raise TimeIsUp
        turn = next(turns)
        if isinstance(case, Net):
            told(run_net(case, chosen, turn), case, tally)
        else:
            text = base64.b64encode(case).decode()
            told(serving(case, folder, explained=turn % 6 == 5), text, tally)

    try:
        for strategy, count in strategies(chosen):
            visit_all(strategy, count, chosen.seed, visit)
    except TimeIsUp:
        print("time is up")
    print(chosen.what, "dynamic" if chosen.dynamic else "fixed", chosen.seed, dict(tally))


if __name__ == "__main__":
    main()
