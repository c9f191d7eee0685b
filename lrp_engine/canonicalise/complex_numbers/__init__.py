"""Complex values as pairs of real ones: one file of spellings per family, and the pass."""

from .splitting import COMPLEX, split_complex, without_spelled

__all__ = ["COMPLEX", "split_complex", "without_spelled"]
