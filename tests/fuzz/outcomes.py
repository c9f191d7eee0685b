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
def time_limit(seconds: int) -> Iterator[None]:
    """Raise HangError after so many seconds; where C code does not return, end the process."""

    def ring(_signal: int, _frame: object) -> None:
        raise _Alarm

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    faulthandler.dump_traceback_later(4 * seconds, exit=True)
    try:
        yield
    except _Alarm as alarm:
        raise HangError(f"longer than {seconds} s") from alarm
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


def judge(run: Callable[[], object], seconds: int = 60) -> tuple[Outcome, str]:
    """Run oracles; return what came of it with the text of a refusal, or raise a Failure."""
    try:
        with time_limit(seconds):
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
