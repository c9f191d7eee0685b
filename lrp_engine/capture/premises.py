"""Record what a capture takes for granted of its model, so that every call can check it.

A graph is true of the model that was traced: of the attributes that its code read, of its hooks and
training flags, of torch's modes around it. All of these are compared by identity, dictionary by
dictionary, which takes a fraction of a millisecond for hundreds of modules; only what is not
identical is looked at more closely. Parameters and buffers are not here: the graph reads the
model's own tensors (`tensor_homes.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from operator import itemgetter

import torch
from torch import Tensor, fx, nn
from torch.nn.modules import module as torch_module

from ..graphs.randomness import describe_draws
from .ambient import Ambient, modes_now
from .same_objects import SameObjects

_NUMBERS = (int, float, complex)
PLAIN = (
    *(bool, str, bytes, type(None), range, slice, Enum, *_NUMBERS),
    *(torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format),
)
CONTAINERS = (list, tuple, set, frozenset, dict)
# Larger containers, and what lies deeper, are compared as objects, not by their contents.
LARGEST, DEEPEST = 1000, 3
_IS_TRAINING = itemgetter("training")
_HOOKS = {"_forward_pre_hooks": "forward pre-hooks", "_forward_hooks": "forward hooks"}
_GLOBAL_HOOKS: Mapping[str, Mapping[int, object]] = {
    "global forward pre-hooks": torch_module._global_forward_pre_hooks,
    "global forward hooks": torch_module._global_forward_hooks,
}


class Absent(Enum):
    """The value of a name that is not there."""

    ABSENT = "not there"


@dataclass(frozen=True)
class WatchedEntries:
    """Entries of one dictionary: attributes of a module, a class or an object, or submodules."""

    home: Mapping[str, object]
    keys: tuple[str, ...]
    values: tuple[object, ...]
    owner: str

    @classmethod
    def of(cls, home: Mapping[str, object], keys: Iterable[str], owner: str) -> WatchedEntries:
        """Watch these names as they are now; a name that is not there must stay away."""
        keys = tuple(keys)
        return cls(home, keys, tuple(home.get(key, Absent.ABSENT) for key in keys), owner)

    def is_same(self) -> bool:
        """Return whether nothing has changed."""
        return not self.changes()

    def changes(self) -> dict[str, str]:
        """Return by key what has changed."""
        pairs = zip(self.keys, self.values, strict=True)
        now = {key: self.home.get(key, Absent.ABSENT) for key in self.keys}
        return {
            key: f"{self.owner}: {key!r} {_change(was, now[key])}"
            for key, was in pairs
            if not _is_equal(was, now[key])
        }

    @property
    def identity(self) -> int:
        """Return what tells this dictionary from others."""
        return id(self.home)


@dataclass(frozen=True)
class WatchedContents:
    """Everything that is in one list, set or dictionary."""

    container: Collection[object]
    contents: tuple[object, ...]
    owner: str

    @classmethod
    def of(cls, container: Collection[object], owner: str) -> WatchedContents:
        """Watch a container as it is now."""
        return cls(container, contents_of(container), owner)

    @property
    def identity(self) -> int:
        """Return what tells this container from others."""
        return id(self.container)

    def is_same(self) -> bool:
        """Return whether the very same objects are in it, in the same order."""
        return list(map(id, contents_of(self.container))) == list(map(id, self.contents))

    def change(self) -> str | None:
        """Return what has changed; None if what is in it is equal."""
        now = contents_of(self.container)
        if len(now) == len(self.contents) and all(map(_is_equal, self.contents, now)):
            return None
        return f"{self.owner}: {_change(self.contents, now)}"


Watched = WatchedEntries | WatchedContents


@dataclass(frozen=True)
class Premises:
    """Hold what a capture relies on besides the model's tensors.

    Attributes:
        ambient: torch's modes at capture.
        modules: every module's attributes by the module's name: they hold its training flag.
        hooks: the forward hooks of every module, and torch's global ones.
        entries: attributes that were read.
        contents: what is inside their values.
    """

    ambient: Ambient
    modules: tuple[tuple[str, Mapping[str, object]], ...] = ()
    hooks: tuple[WatchedContents, ...] = ()
    entries: tuple[WatchedEntries, ...] = ()
    contents: tuple[WatchedContents, ...] = ()

    def broken_mode(self) -> str | None:
        """Return which of torch's modes is another now; None if none is."""
        now = modes_now()
        return None if now == self.ambient else self.ambient.describe_change(now)

    def broken(self) -> str | None:
        """Return what of the model is no longer as it was at capture; None if nothing is."""
        if any(map(_IS_TRAINING, self._attributes)):
            return self._name_training()
        same = self._objects.are_there()
        changed = () if same else (text for e in self.entries for text in e.changes().values())
        return next(iter(changed), None) or _first_change(self.contents)

    def new_hook(self) -> str | None:
        """Return which hooks are no longer those of the capture; None if all are.

        Hooks may only look on, as those do that collect hidden states.
        """
        return _first_change(self._with_hooks if not any(self._without_hooks) else self.hooks)

    @cached_property
    def _attributes(self) -> list[Mapping[str, object]]:
        return [attributes for _, attributes in self.modules]

    @cached_property
    def _objects(self) -> SameObjects:
        found = [
            ((entry.home, key), what)
            for entry in self.entries
            for key, what in zip(entry.keys, entry.values, strict=True)
        ]
        return SameObjects.at(
            ((place, what) for place, what in found if what is not Absent.ABSENT),
            (place for place, what in found if what is Absent.ABSENT),
        )

    @cached_property
    def _without_hooks(self) -> list[Collection[object]]:
        return [place.container for place in self.hooks if not place.contents]

    @cached_property
    def _with_hooks(self) -> list[WatchedContents]:
        return [place for place in self.hooks if place.contents]

    def _name_training(self) -> str:
        names = [name for name, attributes in self.modules if attributes["training"]]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return (
            f"the model is in training mode ({names[0] or '(root)'}{more}), and was in eval mode:"
            " dropout and batch norm would be active. Call model.eval() first"
        )


def premises_of(root: nn.Module, read: Iterable[Watched], ambient: Ambient) -> Premises:
    """Return the premises of a module whose traced code read these entries."""
    modules = tuple((name, vars(m)) for name, m in root.named_modules())
    hooks = [WatchedContents.of(hooks, name) for name, hooks in _GLOBAL_HOOKS.items()]
    for name, attributes in modules:
        for key, kind in _HOOKS.items():
            owner = f"{kind} of module {name or '(root)'!r}"
            hooks.append(WatchedContents.of(attributes[key], owner))
    read = tuple(read)
    return Premises(
        ambient,
        modules,
        tuple(hooks),
        tuple(place for place in read if isinstance(place, WatchedEntries)),
        tuple(place for place in read if isinstance(place, WatchedContents)),
    )


def _first_change(places: Iterable[WatchedContents]) -> str | None:
    changed = (place.change() for place in places if not place.is_same())
    return next(filter(None, changed), None)


def premise_notes(
    draws: Sequence[fx.Node], ambient: Ambient, written: Collection[str] = ()
) -> tuple[str, ...]:
    """Return what users should know: autocast, random draws, attributes that cannot be watched."""
    notes = [ambient.note()]
    if draws:
        notes.append(f"the model draws random numbers: {describe_draws(draws)}")
    if written:
        notes.append(
            f"the model itself changes {', '.join(written)}: other changes of these are not noticed"
        )
    return tuple(filter(None, notes))


def watch_inside(value: object, owner: str, depth: int = 0) -> Iterator[Watched]:
    """Yield what to watch inside an attribute's value: contents of containers, fields of objects.

    Modules and tensors are watched by themselves.
    """
    if depth >= DEEPEST or isinstance(value, (*PLAIN, Tensor, nn.Module)):
        return
    if isinstance(value, CONTAINERS):
        if len(value) <= LARGEST:
            if not isinstance(value, (tuple, frozenset)):
                yield WatchedContents.of(value, owner)
            for element in contents_of(value):
                yield from watch_inside(element, owner, depth + 1)
    elif depth == 0 and has_fields(value):
        fields = {k: v for k, v in vars(value).items() if isinstance(v, (*PLAIN, *CONTAINERS))}
        yield WatchedEntries.of(vars(value), fields, owner)
        for name, part in fields.items():
            yield from watch_inside(part, f"{owner}.{name}", depth + 1)


def has_fields(value: object) -> bool:
    """Return whether a value is an object with attributes of its own, such as a configuration."""
    return isinstance(getattr(value, "__dict__", None), dict) and not callable(value)


def contents_of(container: Collection[object]) -> tuple[object, ...]:
    """Return what is inside a container, keys included."""
    if isinstance(container, dict):
        return (*container, *container.values())
    return tuple(container)


def _is_equal(was: object, now: object) -> bool:
    """Return whether a value is the same object, or an equal one.

    What was inside a container is watched by itself, so it may be compared as it is now. A tensor
    or a module is equal to no other.
    """
    if was is now:
        return True
    if type(was) is not type(now):
        return False
    if isinstance(was, CONTAINERS) and isinstance(now, CONTAINERS):
        if not len(was) == len(now) <= LARGEST or isinstance(was, set):
            return False
        return all(map(_is_equal, contents_of(was), contents_of(now)))
    return isinstance(was, PLAIN) and (was == now or was != was)


def _change(was: object, now: object) -> str:
    if now is Absent.ABSENT:
        return "is gone"
    if was is Absent.ABSENT:
        return f"is new: {_text(now)}"
    if _text(was) == _text(now):
        return f"is another {_text(now)} than it was"
    return f"was {_text(was)} and is {_text(now)}"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value[:8]))}{', ...' if len(value) > 8 else ''})"
    if isinstance(value, (Tensor, nn.Module)):
        return f"a {type(value).__name__}"
    text = getattr(value, "__qualname__", None) or repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
