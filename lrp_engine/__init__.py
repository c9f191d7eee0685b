"""Layer-wise relevance propagation for any torch model, at the level of single tensor ops."""

from .aot import Package as Package
from .aot import load_package as load_package
from .engine import Engine as Engine
from .engine import explain as explain
from .errors import LrpError as LrpError
from .generation import explain_generation as explain_generation
from .method.op import Op as Op
from .method.rule import Rule as Rule
from .method.rule import rule as rule
from .presets.preset import Preset as Preset
from .presets.preset_file import load_preset as load_preset
from .presets.preset_file import presets as presets
from .propagate.ledger import Ledger as Ledger
from .results.explanation import Explanation as Explanation

__all__ = [
    "Engine",
    "Explanation",
    "Ledger",
    "LrpError",
    "Op",
    "Package",
    "Preset",
    "Rule",
    "explain",
    "explain_generation",
    "load_package",
    "load_preset",
    "presets",
    "rule",
]
