"""Reasons to refuse whole groups of ops, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

_DOMAINS: Mapping[str, str] = {
    "com.microsoft.nchwc": (
        "its layout is made for one kind of processor; save the optimised model at the level "
        "ORT_ENABLE_EXTENDED instead of ORT_ENABLE_ALL"
    ),
    "com.ms.internal.nhwc": (
        "its layout is made for one kind of processor; save the model before it is optimised"
    ),
    "ai.onnx.preview.training": "it belongs to training",
    "com.microsoft.experimental": "it is an experiment of onnxruntime's",
}
_TREES = "trees are step functions, which relevance does not pass"
_KERNELS = "support vector machines compare with stored samples; there is no rule for that"
_TEXT = "text is turned into numbers before a model is explained: cut the file behind this node"
_OPTIONAL = "values that may be absent are not supported: export the model without them"
_OPS: Mapping[tuple[str, str], str] = {
    **{("", name): _TEXT for name in ("RegexFullMatch", "StringConcat", "StringNormalizer")},
    **{("", name): _TEXT for name in ("StringSplit", "TfIdfVectorizer")},
    **{("", name): _OPTIONAL for name in ("Optional", "OptionalGetElement", "OptionalHasElement")},
    ("", "ImageDecoder"): "files of images are decoded before a model is explained",
    ("", "MaxRoiPool"): "how many pixels a cell has depends on the regions; RoiAlign is supported",
    ("", "MelWeightMatrix"): "it computes a constant: write its result into the file",
    ("", "Multinomial"): "it draws classes, and relevance does not pass a draw",
    ("", "Unique"): "how long its result is depends on the values; there is no rule for that",
    ("ai.onnx.ml", "TreeEnsemble"): _TREES,
    ("ai.onnx.ml", "TreeEnsembleClassifier"): _TREES,
    ("ai.onnx.ml", "TreeEnsembleRegressor"): _TREES,
    ("ai.onnx.ml", "SVMClassifier"): _KERNELS,
    ("ai.onnx.ml", "SVMRegressor"): _KERNELS,
    ("com.microsoft", "EPContext"): "the model was compiled for one kind of hardware",
}


def reason_for(domain: str, op: str) -> str:
    """Return the most telling reason to refuse an op that has no entry."""
    return _OPS.get((domain, op)) or _DOMAINS.get(domain) or "this op is not supported"
