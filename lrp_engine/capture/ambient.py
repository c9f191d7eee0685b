"""Record torch's modes around a capture, and leave those that a program must not run under."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch

# The kinds of devices that have an autocast of their own in this build.
_CASTING = tuple(
    kind
    for kind in ("cpu", "cuda", "mps", "xpu")
    if kind == "cpu" or getattr(torch, kind, None) is not None
)


@dataclass(frozen=True)
class Ambient:
    """The modes that decide what a model computes: default dtype, and autocast by device."""

    default_dtype: torch.dtype
    autocast: tuple[tuple[str, torch.dtype], ...] = ()

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Switch on the autocast of these modes, and no other."""
        if self == modes_now():
            yield
            return
        on = dict(self.autocast)
        with ExitStack() as stack:
            for kind in _CASTING:
                if kind in on:
                    stack.enter_context(torch.autocast(kind, dtype=on[kind]))
                elif torch.is_autocast_enabled(kind):
                    stack.enter_context(torch.autocast(kind, enabled=False))
            yield

    def note(self) -> str:
        """Return a note on what is not torch's own setting; empty if nothing is."""
        return f"captured while {_casts(self.autocast)}" if self.autocast else ""

    def describe_change(self, now: Ambient) -> str:
        """Return which mode is another now."""
        if now.default_dtype != self.default_dtype:
            return (
                f"torch's default dtype was {self.default_dtype} at capture and is"
                f" {now.default_dtype}"
            )
        return f"at capture {_casts(self.autocast)}, and now {_casts(now.autocast)}"


def _casts(autocast: tuple[tuple[str, torch.dtype], ...]) -> str:
    if not autocast:
        return "autocast was off"
    return f"autocast was on ({', '.join(f'{kind}: {dtype}' for kind, dtype in autocast)})"


def modes_now() -> Ambient:
    """Return the modes of this moment."""
    if not torch.is_autocast_enabled() and not torch._C._is_any_autocast_enabled():
        return Ambient(torch.get_default_dtype())
    casting = [kind for kind in _CASTING if torch.is_autocast_enabled(kind)]
    return Ambient(
        torch.get_default_dtype(), tuple((k, torch.get_autocast_dtype(k)) for k in casting)
    )


@contextmanager
def leave_inference() -> Iterator[None]:
    """Leave inference mode, in which neither tracing nor torch's derivatives work."""
    if not torch.is_inference_mode_enabled():
        yield
        return
    with torch.inference_mode(False), torch.no_grad():
        yield


@contextmanager
def leave_modes() -> Iterator[None]:
    """Leave inference mode and autocast.

    The casts of a capture under autocast are ops of its graph; nothing may be cast a second time.
    """
    with leave_inference(), Ambient(torch.get_default_dtype()).enter():
        yield
