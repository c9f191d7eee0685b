"""What travels on a wire."""

from __future__ import annotations

from enum import Enum


class Form(Enum):
    """The coefficient c, or the relevance R = a * c itself.

    A rule that takes EITHER is told by `call.form` what arrived; one that gives EITHER gives back
    the form that it was given.
    """

    COEFFICIENT = "coefficient"
    RELEVANCE = "relevance"
    EITHER = "either"
