"""How many cases run, and what came of them, printed at the end."""

import os
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, seed, settings

from tests.fuzz.outcomes import Failure, judge

_TALLY = pytest.StashKey[Counter[str]]()
Judge = Callable[[Callable[[], object]], None]


def few(cases: int) -> settings:
    """So many cases, the same ones every time."""
    return settings(_quiet(cases), derandomize=True)


def many(share: float = 1.0) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A share of FUZZ_CASES cases (1000), drawn anew with FUZZ_SEED (0)."""
    cases = int(share * int(os.environ.get("FUZZ_CASES", "1000")))

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        return seed(int(os.environ.get("FUZZ_SEED", "0")))(_quiet(max(cases, 1))(test))

    return decorate


def _quiet(cases: int) -> settings:
    return settings(
        max_examples=cases,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="session")
def judged(request: pytest.FixtureRequest) -> Judge:
    """Judge a case and count what came of it; failures are raised."""
    tally = request.config.stash.setdefault(_TALLY, Counter())

    def count(run: Callable[[], object]) -> None:
        try:
            tally[judge(run)[0].value] += 1
        except Failure as failure:
            tally[type(failure).__name__] += 1
            raise

    return count


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if tally := config.stash.get(_TALLY, None):
        counts = ", ".join(f"{count} {what}" for what, count in sorted(tally.items()))
        terminalreporter.write_line(f"fuzz: {sum(tally.values())} cases: {counts}")
