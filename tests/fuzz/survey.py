"""Run many cases in one process and list what failed, kind by kind.

python -m tests.fuzz.survey alone            every row by itself
python -m tests.fuzz.survey nets --cases 500 --seed 3
"""

import argparse
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.generate import alone, nets
from tests.fuzz.gradients import gradient_is_autograds
from tests.fuzz.nets import Net
from tests.fuzz.ops import ROWS
from tests.fuzz.oracles import ALWAYS, SIZES, Case
from tests.fuzz.outcomes import Failure, judge

Visit = Callable[[Net, int], None]


def visit_all(strategy: object, cases: int, first: int, visit: Callable[[Net], None]) -> None:
    """Draw so many nets and visit each; nothing is shrunk or remembered."""
    quiet = settings(
        max_examples=cases,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    seed(first)(quiet(given(strategy)(visit)))()  # type: ignore[call-overload]


def strategies(what: str, cases: int, like: str) -> Iterator[tuple[object, int]]:
    if what == "nets":
        yield nets(), cases
    else:
        for row in (row for row in ROWS if re.search(like, row.name)):
            yield alone(row), cases if row.options else 1


def first_lines(text: str) -> str:
    return " ".join(text.split())[:240]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["alone", "nets"])
    parser.add_argument("--cases", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--like", default="", help="rows whose name matches, tried alone")
    parser.add_argument("--dynamic", action="store_true")
    given_ = parser.parse_args()
    tally: Counter[str] = Counter()

    def visit(net: Net) -> None:
        start = time.monotonic()

        def run() -> None:
            case = Case(net, dynamic=given_.dynamic)
            for oracle in (*ALWAYS, gradient_is_autograds, *SIZES):
                oracle(case)

        try:
            outcome, why = judge(run)
            tally[outcome.value] += 1
            if why:
                print(f"REFUSED {net}: {first_lines(why)}", flush=True)
        except Failure as failure:
            tally[type(failure).__name__] += 1
            print(f"{type(failure).__name__} {net}: {first_lines(str(failure))}", flush=True)
        if time.monotonic() - start > 20:
            print(f"SLOW {time.monotonic() - start:.0f} s {net}", flush=True)

    for strategy, count in strategies(given_.what, given_.cases, given_.like):
        visit_all(strategy, count, given_.seed, visit)
    print(dict(tally))


if __name__ == "__main__":
    main()
