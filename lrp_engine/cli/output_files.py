"""Write an explanation to files: safetensors, a picture, a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from ..boundary.writing import require_ending
from ..capture.signature import as_call
from ..engine import Engine
from ..errors import InputError
from ..results.explanation import Explanation

SAVED = (".safetensors",)
PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".eps", ".ps")
PAGES = (".html", ".htm")


@dataclass(frozen=True)
class OutputFiles:
    """The files to write, None for those not asked for, and the sample that `plot` draws."""

    save: Path | None
    plot: Path | None
    html: Path | None
    sample: int

    def __post_init__(self) -> None:
        for path, endings in [(self.save, SAVED), (self.plot, PICTURES), (self.html, PAGES)]:
            if path is not None:
                require_ending(path, endings)


def write(
    explanation: Explanation, files: OutputFiles, engine: Engine, inputs: object
) -> list[Path]:
    """Write the files that are asked for. Raises InputError if one cannot be written."""

    def picture(path: Path) -> None:
        _picture(explanation, path, files.sample, engine, inputs)

    jobs: list[tuple[Path | None, Callable[[Path], object]]] = [
        (files.save, explanation.save),
        (files.plot, picture),
        (files.html, explanation.write_page),
    ]
    return [_run(path, job) for path, job in jobs if path is not None]


def _run(path: Path, job: Callable[[Path], object]) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        job(path)
    except (
        OSError,
        ValueError,
        SafetensorError,
    ) as error:
        raise InputError(f"{path} cannot be written: {error}") from error
    return path


def _picture(
    explanation: Explanation, path: Path, sample: int, engine: Engine, inputs: object
) -> None:
    source, relevance = next(iter(explanation.relevance.items()))
    if sample >= len(relevance):
        raise InputError(f"there is no sample {sample}: the batch has {len(relevance)}")
    image = _image(engine, inputs, source, relevance)
    figure = explanation.plot(source, sample=sample, image=None if image is None else image[sample])
    figure.savefig(path)


def _image(engine: Engine, inputs: object, source: str, relevance: Tensor) -> Tensor | None:
    """Return the input that is explained if it is a batch of grey or colour images."""
    leaves = engine.captured.flatten_inputs(*as_call(inputs))
    for port, leaf in zip(engine.captured.inputs, leaves, strict=True):
        if port.name == source and isinstance(leaf, Tensor) and leaf.shape == relevance.shape:
            return leaf if leaf.dim() == 4 and leaf.shape[1] in (1, 3) else None
    return None
