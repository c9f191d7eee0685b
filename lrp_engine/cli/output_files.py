"""Write an explanation to files: safetensors, a picture, a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from ..boundary.writing import require_ending
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


def write(explanation: Explanation, files: OutputFiles) -> list[Path]:
    """Write the files that are asked for. Raises InputError if one cannot be written."""

    def picture(path: Path) -> None:
        source = next(iter(explanation.relevance))
        explanation.plot(source, files.sample).savefig(path)

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
