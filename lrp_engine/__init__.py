"""Layer-wise relevance propagation for any torch model, at the level of single tensor ops."""

from .engine import Engine as Engine
from .engine import explain as explain
from .errors import LrpError as LrpError
from .explanation import Explanation as Explanation
from .generation import explain_generation as explain_generation
from .ledger import Ledger as Ledger
from .op import Op as Op
from .package import Package as Package
from .package import load_package as load_package
from .preset import Preset as Preset
from .preset_file import load_preset as load_preset
from .preset_file import presets as presets
from .rule import Rule as Rule
from .rule import rule as rule

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
