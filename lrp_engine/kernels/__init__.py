"""Ops of the engine's own, where torch has none: what they compute, and kernels for it."""

from .recurrence import linear_recurrence as linear_recurrence
