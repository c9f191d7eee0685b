"""Find circuits by relevance patching: score components and edges, verify by exact patching."""

from .ablation import Ablation
from .agreement import Trust, Verification
from .circuit import (
    Circuit,
    by_threshold,
    greedy,
    overlap,
    top_edges,
)
from .circuit_model import CircuitModel
from .drawing.circuit_page import page
from .drawing.layout import Drawing, arrange
from .edges import EdgeScores, edge_scores
from .estimators import (
    ESTIMATORS,
    BothRuns,
    Estimator,
    LinearEstimator,
    MixedEstimator,
    PathPoint,
)
from .exports import (
    dot,
    eap_json,
    write_eap_json,
    write_graphml,
)
from .faithfulness import Curve, Quality, curve, quality
from .feature_ablation import FeatureCurve, feature_curve
from .feature_edge_ablation import feature_edge_curve
from .feature_edge_scores import FeatureEdges, feature_edges
from .features import (
    Feature,
    FeatureScores,
    Splice,
    patch_features,
    score_features,
)
from .pairs import LogitDifference, Pairs, logit_difference
from .patching import patch
from .prompts import by_length, read_prompts
from .scores import Component, Direction, Scores
from .scoring import compare, score
from .verify import Choice, choose_estimator, verify

__all__ = [
    "ESTIMATORS",
    "Ablation",
    "BothRuns",
    "Choice",
    "Circuit",
    "CircuitModel",
    "Component",
    "Curve",
    "Direction",
    "Drawing",
    "EdgeScores",
    "Estimator",
    "Feature",
    "FeatureCurve",
    "FeatureEdges",
    "FeatureScores",
    "LinearEstimator",
    "LogitDifference",
    "MixedEstimator",
    "Pairs",
    "PathPoint",
    "Quality",
    "Scores",
    "Splice",
    "Trust",
    "Verification",
    "arrange",
    "by_length",
    "by_threshold",
    "choose_estimator",
    "compare",
    "curve",
    "dot",
    "eap_json",
    "edge_scores",
    "feature_curve",
    "feature_edge_curve",
    "feature_edges",
    "greedy",
    "logit_difference",
    "overlap",
    "page",
    "patch",
    "patch_features",
    "quality",
    "read_prompts",
    "score",
    "score_features",
    "top_edges",
    "verify",
    "write_eap_json",
    "write_graphml",
]
