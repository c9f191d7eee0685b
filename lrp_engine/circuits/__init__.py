"""Circuits by relevance patching: scores of components and edges, verified by exact patching."""

from .edges import EdgeScores, edge_scores
from .estimators import ESTIMATORS, Estimator, compare, score
from .model import CircuitModel
from .pairs import LogitDifference, Pairs, logit_difference
from .patching import patch
from .scores import Component, Direction, Scores
from .verification import Trust, Verification
from .verify import Choice, choose_estimator, verify

__all__ = [
    "ESTIMATORS",
    "Choice",
    "CircuitModel",
    "Component",
    "Direction",
    "EdgeScores",
    "Estimator",
    "LogitDifference",
    "Pairs",
    "Scores",
    "Trust",
    "Verification",
    "choose_estimator",
    "compare",
    "edge_scores",
    "logit_difference",
    "patch",
    "score",
    "verify",
]
