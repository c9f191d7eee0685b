"""Define the engine's own ops, where torch has none, and their kernels."""

from .recurrence import linear_recurrence as linear_recurrence
