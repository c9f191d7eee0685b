"""Record which attributes a model's code reads while it is traced.

Code that runs in Python is not in the graph: what it read is there as constants, and as the
branches that were taken. Seen are all attributes of modules, be they the module's own, its class's
or its submodules, and what is inside their values. Not seen are global variables and closures.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from .premises import Absent, Watched, WatchedEntries, watch_inside
from .snapshots import StandIns

# Training flags and hooks of all modules are watched anyway; hooks of the backward pass do not
# matter; parameters and buffers are looked up when the graph is known.
_KNOWN = {
    *("training", "_parameters", "_buffers", "_backward_hooks", "_backward_pre_hooks"),
    *("_forward_hooks", "_forward_pre_hooks"),
    *("_call_impl", "_wrapped_call_impl", "_compiled_call_impl"),
}
# Patched by torch itself while it traces.
_TRACED_THROUGH = {"torch.nn.modules.module", "torch.fx.experimental.proxy_tensor", "builtins"}


class _Read(NamedTuple):
    """One name in one dictionary, and the description of its value at the first read."""

    home: Mapping[str, object]
    key: str
    owner: str
    first: object

    @property
    def value(self) -> object:
        """The value now."""
        return self.home.get(self.key, Absent.ABSENT)


@dataclass
class AttributeReads:
    """The attributes that a module's code reads, from their first read on.

    What the model changes by itself while it runs (a counter, a cache) is no premise: `written`
    has the names. `names` has the modules' names and `view` their attributes, by the identity of
    the attributes that code may see in their place.
    """

    names: Mapping[int, str]
    stand_ins: StandIns
    view: Mapping[int, dict[str, object]] = field(default_factory=dict)
    written: dict[str, None] = field(default_factory=dict)
    _reads: dict[tuple[int, str], _Read | None] = field(default_factory=dict)

    @classmethod
    def of(cls, root: nn.Module, view: nn.Module) -> AttributeReads:
        """Prepare to record what is read of a module that is called through a view of it."""
        names = {id(vars(m)): f"module {name or '(root)'!r}" for name, m in root.named_modules()}
        return cls(names, StandIns.of(root), {id(vars(view)): vars(root)})

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record what this thread reads of any module, for the time of the block."""
        self.stand_ins.look()
        before = vars(nn.Module).get("__getattribute__")
        setattr(nn.Module, "__getattribute__", _Recorder(self, threading.get_ident()))  # noqa: B010
        try:
            yield
        finally:
            if before is None:
                delattr(nn.Module, "__getattribute__")
            else:
                setattr(nn.Module, "__getattribute__", before)  # noqa: B010
            self._drop_written()

    def watched(self) -> tuple[Watched, ...]:
        """Return what to watch from now on, once what the model wrote is undone."""
        self._drop_written()  # what was written first and read then
        homes: dict[int, list[_Read]] = {}
        inside: dict[int, Watched] = {}
        for (home, _), read in self._reads.items():
            if read is None:
                continue
            homes.setdefault(home, []).append(read)
            places = watch_inside(read.value, f"{read.owner}: {read.key!r}")
            inside |= {place.identity: place for place in places}
        return (*map(_entries, homes.values()), *inside.values())

    def note(self, module: nn.Module, name: str) -> None:
        """Record that a name was looked up in a module."""
        if name in _KNOWN or name.startswith("__"):
            return
        attributes: dict[str, object] = object.__getattribute__(module, "__dict__")
        attributes = self.view.get(id(attributes), attributes)
        if (id(attributes), name) in self._reads or _is_tensor_of(attributes, name):
            return
        if type(module) is nn.Module and id(attributes) not in self.names:
            return  # where torch's tracer keeps its constants
        owner = self._owner(module)
        self._add(id(attributes), attributes, name, owner)
        if name in attributes:
            return
        cls = next((c for c in type(module).__mro__ if name in vars(c)), None)
        if cls is None:
            submodules: Any = attributes.get("_modules", {})
            self._add(id(submodules), submodules, name, owner)
        elif cls.__module__ not in _TRACED_THROUGH:
            self._add(id(cls), vars(cls), name, f"class {cls.__qualname__}")

    def _owner(self, module: nn.Module) -> str:
        attributes = object.__getattribute__(module, "__dict__")
        attributes = self.view.get(id(attributes), attributes)
        return self.names.get(id(attributes), f"a module of class {type(module).__name__}")

    def _add(self, identity: int, home: Mapping[str, object], key: str, owner: str) -> None:
        first = self.stand_ins.describe(home.get(key, Absent.ABSENT))
        self._reads.setdefault((identity, key), _Read(home, key, owner, first))

    def _drop_written(self) -> None:
        """Forget what the model has changed by itself, before that is undone."""
        for key, read in self._reads.items():
            if read is not None and self.stand_ins.describe(read.value) != read.first:
                self.written[f"{read.key!r} of {read.owner}"] = None
                self._reads[key] = None


class _Recorder:
    """Looks an attribute up as ever, after a note of it.

    Not a function, since torch._dynamo, which traces bodies of higher-order ops, does not take
    modules whose class has a function for this.
    """

    def __init__(self, reads: AttributeReads, thread: int) -> None:
        self.reads, self.thread = reads, thread

    def __get__(self, module: Any, owner: Any = None) -> Any:
        # Looked up in a class, it takes the module as well: so does torch._dynamo use it.
        return self.look_up if module is None else partial(self.look_up, module)

    def look_up(self, module: Any, name: str) -> object:
        """Return the attribute."""
        if threading.get_ident() == self.thread:
            self.reads.note(module, name)
        return object.__getattribute__(module, name)


def _is_tensor_of(attributes: Mapping[str, Any], name: str) -> bool:
    """Return whether a name is that of a parameter or buffer."""
    return name in attributes.get("_parameters", ()) or name in attributes.get("_buffers", ())


def _entries(reads: Sequence[_Read]) -> WatchedEntries:
    keys, values = tuple(r.key for r in reads), tuple(r.value for r in reads)
    return WatchedEntries(reads[0].home, keys, values, reads[0].owner)
