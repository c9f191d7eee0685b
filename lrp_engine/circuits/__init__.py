"""Circuits by relevance patching: scores of components and edges, verified by exact patching."""

from .estimators import ESTIMATORS, Estimator, compare, score
from .model import CircuitModel
from .pairs import LogitDifference, Pairs, logit_difference
from .patching import patch
from .scores import Component, Direction, Scores

__all__ = [
    "ESTIMATORS",
    "CircuitModel",
    "Component",
    "Direction",
    "Estimator",
    "LogitDifference",
    "Pairs",
    "Scores",
    "compare",
    "logit_difference",
    "patch",
    "score",
]
