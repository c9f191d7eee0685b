"""A small language model that solves indirect object identification (IOI), and its prompts.

Both were made for this project: a GPT-2 of 4 layers (width 96, 4 heads, 0.47 million parameters),
trained from scratch on a synthetic corpus of 205 words, and sentences from five templates. The
licence is that of the project.
"""

from .data import (
    ioi_pairs,
    ioi_prompts,
    ioi_subject,
    load_ioi_model,
    tokenize,
    words_of,
)

__all__ = ["ioi_pairs", "ioi_prompts", "ioi_subject", "load_ioi_model", "tokenize", "words_of"]
