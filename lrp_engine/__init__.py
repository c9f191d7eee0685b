"""Layer-wise relevance propagation for any torch model, at the level of single tensor ops.

The names below are the public face. Each is loaded when it is first used, so that importing the
package, as the command line does for `--help`, does not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .aot.load import load_package as load_package
    from .aot.package import Package as Package
    from .bring import Subject as Subject
    from .bring import explain as explain
    from .engine import Engine as Engine
    from .errors import LrpError as LrpError
    from .generation import explain_generation as explain_generation
    from .method.functions import declare_function as declare_function
    from .method.functions import trace_function as trace_function
    from .method.op import Op as Op
    from .method.rule import Rule as Rule
    from .method.rule import rule as rule
    from .preset.preset import Preset as Preset
    from .preset.preset_file import load_preset as load_preset
    from .preset.preset_file import presets as presets
    from .propagate.ledger import Ledger as Ledger
    from .results.book import write_page as write_page
    from .results.comparison import compare as compare
    from .results.comparison_page import write_comparison as write_comparison
    from .results.explanation import Explanation as Explanation
    from .run.background import Background as Background

__all__ = [
    "Background",
    "Engine",
    "Explanation",
    "Ledger",
    "LrpError",
    "Op",
    "Package",
    "Preset",
    "Rule",
    "Subject",
    "compare",
    "declare_function",
    "explain",
    "explain_generation",
    "load_package",
    "load_preset",
    "presets",
    "rule",
    "trace_function",
    "write_comparison",
    "write_page",
]

_HOMES = {
    "Background": "run.background",
    "Engine": "engine",
    "Explanation": "results.explanation",
    "Ledger": "propagate.ledger",
    "LrpError": "errors",
    "Op": "method.op",
    "Package": "aot.package",
    "Preset": "preset.preset",
    "Rule": "method.rule",
    "Subject": "bring",
    "compare": "results.comparison",
    "declare_function": "method.functions",
    "explain": "bring",
    "explain_generation": "generation",
    "load_package": "aot.load",
    "load_preset": "preset.preset_file",
    "presets": "preset.preset_file",
    "rule": "method.rule",
    "trace_function": "method.functions",
    "write_comparison": "results.comparison_page",
    "write_page": "results.book",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
