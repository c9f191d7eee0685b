"""Open folders of `save_pretrained`: nothing is downloaded, and no code of the folder is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...boundary.tables import read_json_object
from ...errors import CaptureError
from ..hints import Hints
from ..home import load_library
from ..opened import OpenedModel
from .hf_parts import AUTO_CLASSES, HfParts, open_task, task_of


def open_model(model: Any, hints: Hints) -> OpenedModel:
    """Open a checkpoint with its tokenizer or processor.

    Raises:
        CaptureError: the checkpoint cannot be read, or its task is not read here.
        InputError: transformers is missing.
    """
    folder = Path(model)
    config = read_json_object(folder / "config.json", CaptureError)
    architecture = next(iter(config.get("architectures") or ()), None)
    if architecture is None:
        raise CaptureError(f"{folder}: config.json names no architecture, so its task is unknown")
    library: Any = load_library("transformers", "transformers", "a checkpoint folder")
    task = task_of(str(architecture))
    loaded = _load(library, AUTO_CLASSES[task], folder)
    parts = HfParts(
        loaded.eval(),
        tokenizer=_load_if(library, "AutoTokenizer", folder, "tokenizer"),
        processor=_load_processor(library, folder),
        pooling=_pooling(folder),
    )
    task = task_of(type(loaded).__name__, parts.input_name)
    return open_task(task, parts, hints)


def _load(library: Any, kind: str, folder: Path) -> Any:
    """Load a part of a checkpoint by one of transformers' automatic classes."""
    try:
        return getattr(library, kind).from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except Exception as fault:
        said = next(iter(str(fault).strip().splitlines()), type(fault).__name__)
        raise CaptureError(f"{folder} cannot be read by {kind}: {said}") from fault


def load_tokenizer(folder: Path) -> Any:
    """Load the tokenizer of a folder. Raises CaptureError, or InputError without transformers."""
    library: Any = load_library("transformers", "transformers", "a folder of a tokenizer")
    return _load(library, "AutoTokenizer", folder)


def _load_if(library: Any, kind: str, folder: Path, prefix: str) -> Any:
    """Load a part if the folder has files of it."""
    return _load(library, kind, folder) if any(folder.glob(f"{prefix}*")) else None


def _load_processor(library: Any, folder: Path) -> Any:
    file = folder / "preprocessor_config.json"
    if not file.is_file():
        return None
    is_image = "image_processor_type" in read_json_object(file, CaptureError)
    return _load(library, "AutoImageProcessor" if is_image else "AutoFeatureExtractor", folder)


def _pooling(folder: Path) -> str | None:
    """Return how a checkpoint of sentence vectors pools tokens, as it says beside its model."""
    file = folder / "1_Pooling" / "config.json"
    if not file.is_file():
        return None
    said = read_json_object(file, CaptureError)
    names = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    chosen = [names.get(key, key) for key, on in said.items() if on is True]
    return chosen[0] if len(chosen) == 1 else None
