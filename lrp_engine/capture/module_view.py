"""Present the user's module as capture needs it, without a change to the module itself."""

from __future__ import annotations

import copy
import functools
import inspect
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from types import MethodType
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from .attribute_reads import AttributeReads
from .caches import close_caches
from .held import HeldTensor, KnownIntegers, Uses
from .signature import CallArguments, forward_signature, name_keywords

_PLAIN = (Tensor, int, float, bool, str, type(None))
_CONTAINERS = (dict, OrderedDict, list, set)
_LISTINGS = ("named_modules", "named_parameters", "named_buffers", "parameters", "state_dict")
# By name, since torch._dynamo is not loaded for models that are not compiled.
_WRAPPERS = {"DataParallel": "module", "DistributedDataParallel": "module"}
_WRAPPERS |= {"OptimizedModule": "_orig_mod"}


@contextmanager
def preserve_attributes(*roots: nn.Module) -> Iterator[None]:
    """Undo what the model writes to itself while it is captured.

    Restores attributes and the contents of dicts, lists and sets among them: hooks that a model
    installs on its own modules at its first call would otherwise be there twice after the next.
    """
    modules = {id(m): m for root in roots for m in root.modules()}.values()
    before = [(vars(m), dict(vars(m)), _contents(vars(m))) for m in modules]
    try:
        yield
    finally:
        for now, attributes, contents in before:
            if _differs(now, attributes):
                now.clear()
                now.update(attributes)
            for name, content in contents.items():
                _refill(attributes[name], content)


def lend_copies(root: nn.Module, buffers: Collection[str]) -> None:
    """Put copies in the places of some buffers; `preserve_attributes` takes them away again."""
    for name in buffers:
        path, _, key = name.rpartition(".")
        module = root.get_submodule(path)
        module._buffers[key] = module.get_buffer(key).clone()


def _contents(attributes: Mapping[str, object]) -> dict[str, object]:
    """Return shallow copies of the plain containers among a module's attributes."""
    return {k: copy.copy(v) for k, v in attributes.items() if type(v) in _CONTAINERS}


def _refill(container: object, content: object) -> None:
    if isinstance(container, dict) and isinstance(content, dict):
        if _differs(container, content):
            container.clear()
            container.update(content)
    elif isinstance(container, list) and isinstance(content, list):
        container[:] = content
    elif isinstance(container, set) and isinstance(content, set):
        container.clear()
        container.update(content)


def _differs(now: Mapping[str, object], before: Mapping[str, object]) -> bool:
    return list(now) != list(before) or any(now[k] is not v for k, v in before.items())


def unwrap(module: nn.Module) -> nn.Module:
    """Return the model inside torch.compile, DataParallel and the like, which compute the same.

    A wrapper that has hooks of its own stays.
    """
    inside = _WRAPPERS.get(type(module).__name__)
    ours = not type(module).__module__.startswith("torch.")
    if inside is None or ours or module._forward_hooks or module._forward_pre_hooks:
        return module
    return unwrap(getattr(module, inside))


class ModuleView:
    """A shallow copy that shares every submodule and parameter; only its `forward` differs.

    Listings of its tensors that the class has changed are torch's own again.
    Caches for generation are switched off (`use_cache`), and results that are no tensors or
    plain values, such as cache objects, are left out. While `reads` is set, every call records
    there which attributes the model's code reads. `keywords` are the names of the keyword arguments
    that it will be called with.
    """

    def __init__(self, module: nn.Module, keywords: Iterable[str] = ()) -> None:
        self.left_out: set[str] = set()
        self.reads: AttributeReads | None = None
        self.held: Mapping[str, Tensor] = {}
        # Not copy.copy: modules with parametrisations (weight norm) refuse it.
        self.module: nn.Module = object.__new__(type(module))
        vars(self.module).update(vars(module))
        original = module.forward
        signature = forward_signature(module)
        accepts_cache = "use_cache" in signature.parameters

        @functools.wraps(original)
        def forward(*args: Any, **kwargs: Any) -> object:
            if accepts_cache:
                kwargs.setdefault("use_cache", False)
            args, kwargs = close_caches(self._hold(signature, args, kwargs))
            known = KnownIntegers() if self.held else nullcontext()
            with self.reads.recording() if self.reads else nullcontext(), known:
                result = original(*args, **kwargs)
            return pytree.tree_map(self._plain, result)

        setattr(forward, "__signature__", name_keywords(signature, keywords))  # noqa: B010
        object.__setattr__(self.module, "forward", forward)
        for name in _LISTINGS:  # torch.export relies on names as the tree of modules gives them
            if getattr(type(module), name) is not getattr(nn.Module, name):
                plain = MethodType(getattr(nn.Module, name), self.module)
                object.__setattr__(self.module, name, plain)

    @contextmanager
    def record_reads(self, reads: AttributeReads) -> Iterator[None]:
        """Record reads in every call within the block."""
        self.reads = reads
        try:
            yield
        finally:
            self.reads = None

    @contextmanager
    def hold(self, held: Mapping[str, Tensor]) -> Iterator[None]:
        """Put known values in the places of some arguments in every call within the block."""
        self.held = held
        try:
            yield
        finally:
            self.held = {}

    def _hold(
        self, signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> CallArguments:
        if not self.held:
            return args, kwargs
        bound = signature.bind(*args, **kwargs)
        for name, tensor in self.held.items():
            bound.arguments[name] = HeldTensor.around(tensor, [name], Uses())
        return bound.args, bound.kwargs

    def note(self) -> str:
        """Return a note on what was left out of the model's result; empty if nothing was."""
        return (
            f"left out of the output: {', '.join(sorted(self.left_out))}" if self.left_out else ""
        )

    def _plain(self, leaf: object) -> object:
        if isinstance(leaf, _PLAIN):
            return leaf
        self.left_out.add(type(leaf).__name__)
        return None
