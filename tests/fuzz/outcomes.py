"""What a case may come to: served and right, refused with an error of ours, or a failure."""

import faulthandler
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TypeVar

from lrp_engine.errors import LrpError, RuleError

T = TypeVar("T")


class Outcome(Enum):
    SERVED = "served"
    REFUSED = "refused"


class Failure(AssertionError):
    """What the project promises never to happen."""


class SilentError(Failure):
    """A result was given, and it is wrong."""


class RawError(Failure):
    """An exception that is not one of the project's own, or a rule that failed."""


class HangError(Failure):
    """A case took longer than it may."""


class _Alarm(BaseException):
    """Not an Exception, so that nothing on the way catches it."""


@contextmanager
def time_limit(working: float, waiting: float) -> Iterator[None]:
    """Raise HangError after so many seconds of CPU time, or of waiting for what does not come.

    Where C code does not return, the process is ended, with a trace.
    """

    def ring(_signal: int, _frame: object) -> None:
        raise _Alarm

    before = [signal.signal(s, ring) for s in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, working)
    signal.setitimer(signal.ITIMER_REAL, waiting)
    faulthandler.dump_traceback_later(2 * waiting, exit=True)
    try:
        yield
    except _Alarm as alarm:
        raise HangError(f"longer than {working} s of work or {waiting} s of waiting") from alarm
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        for number, handler in zip((signal.SIGPROF, signal.SIGALRM), before, strict=True):
            signal.signal(number, handler)


def judge(
    run: Callable[[], object], *, working: float = 60, waiting: float = 900
) -> tuple[Outcome, str]:
    """Run oracles; return what came of it with the text of a refusal, or raise a Failure."""
    try:
        with time_limit(working, waiting):
            run()
    except Failure:
        raise
    except RuleError as error:  # the plan was made: what it covers has to work
        raise RawError(f"a rule failed: {error}") from error
    except LrpError as error:
        if not str(error).strip():
            raise RawError(f"{type(error).__name__} says nothing") from error
        return Outcome.REFUSED, f"{type(error).__name__}: {error}"
    except Exception as error:
        raise RawError(f"{type(error).__name__}: {error}") from error
    return Outcome.SERVED, ""


def require(condition: object, message: str) -> None:
    """Raise SilentError unless the condition holds."""
    if not condition:
        raise SilentError(message)
