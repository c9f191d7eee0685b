"""Know a module by all of its names: its paths, and those of a table of hook points."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from torch import fx, nn

ModuleValues = Mapping[str, tuple[fx.Node, ...]]


def name_by_all_paths(
    values: ModuleValues, root: nn.Module, called: Iterable[nn.Module]
) -> ModuleValues:
    """Return the results of modules under every name that leads to the same module.

    Args:
        values: the results by the paths that torch.export found, `shared@1` for a second call.
        root: the model.
        called: the modules that it called. One that it does not hold as a submodule is, for
            torch.export, where paths begin.
    """
    modules = dict(_names(root))
    names = defaultdict[int, list[str]](list)
    for name, module in modules.items():
        names[id(module)].append(name)
    for hidden in reversed(tuple(called)):  # the outermost call ends last
        if hidden is not root and id(hidden) not in names:
            modules = dict(hidden.named_modules(remove_duplicate=False)) | modules
    found = dict(values)
    for path, nodes in values.items():
        base, at, call = path.partition("@")
        for name in names[id(modules[base])] if base in modules else ():
            found.setdefault(f"{name}{at}{call}", nodes)
    return found


def _names(root: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield paths, and the names in a `hook_dict`, in which TransformerLens holds hook points."""
    for name, module in nn.Module.named_modules(root, remove_duplicate=False):
        if name:
            yield name, module
    table = getattr(root, "hook_dict", None)
    for name, point in table.items() if isinstance(table, Mapping) else ():
        if isinstance(name, str) and isinstance(point, nn.Module):
            yield name, point
