"""Options that say what data are, for commands that read texts, images, sound and tables."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from ..boundary.tables import parse_json_object
from ..errors import LrpError

if TYPE_CHECKING:
    from ..run.target import Target

DataTexts = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DATA",
        help="Texts, or paths: images (or a folder of them), .txt, .csv, sound, .npz, .npy.",
    ),
]
BatchSize = Annotated[
    int | None, typer.Option("--batch", min=1, metavar="N", help="Samples to explain at a time.")
]
TargetName = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="CLASS",
        help="A class by number or name, the text of a token, or predicted; 3,5,1: one per sample.",
    ),
]
NamedTargetJson = Annotated[
    str | None,
    typer.Option("--target-json", metavar="JSON", help="""Weighted: '{"cat": 1, "5": -1}'."""),
]
RatherThan = Annotated[
    str | None,
    typer.Option(metavar="CLASS", help="Explain --target rather than this class or token."),
]
WhereOption = Annotated[
    str | None,
    typer.Option(
        "--position", metavar="N", help="Position of the target in a sequence, or a word; -1: last."
    ),
]
ClassList = Annotated[
    str | None, typer.Option("--classes", help="Names of the classes: cat,dog,bird.")
]
CandidateList = Annotated[
    str | None, typer.Option("--candidates", help="Labels of a zero-shot model: sports,politics.")
]
TransformName = Annotated[
    str | None,
    typer.Option("--transform", metavar="NAME", help="module:function, from an image to a tensor."),
]
ImageSize = Annotated[
    str | None, typer.Option(metavar="HxW", help="Size that images are brought to: 224 or 224x224.")
]
ImageMean = Annotated[
    str | None, typer.Option(metavar="NUMBERS", help="Subtracted from images: 0.485,0.456,0.406.")
]
ImageStd = Annotated[
    str | None, typer.Option(metavar="NUMBERS", help="Images are divided by it afterwards.")
]
AxisNames = Annotated[
    str | None, typer.Option("--axes", help='Names of the input\'s axes: "batch channel time".')
]
Rate = Annotated[float | None, typer.Option("--rate", help="Samples per second of the input.")]
FeatureList = Annotated[
    str | None, typer.Option("--features", help="Names of the features: age,income.")
]
TokenizerName = Annotated[
    str | None,
    typer.Option(
        "--tokenizer", metavar="NAME", help="A folder of transformers, or module:function."
    ),
]
Pooling = Annotated[
    str | None,
    typer.Option("--pooling", help="How an encoder makes one vector of tokens': mean or cls."),
]
Pair = Annotated[bool, typer.Option("--pair", help="DATA are two texts that belong together.")]
Truncate = Annotated[bool, typer.Option("--truncate", help="Cut texts that are too long.")]

_LISTS = ("classes", "features", "candidates")


@dataclass(frozen=True)
class DataOptions:
    """Hold what the options say of the data; None: nothing. Each field is an option."""

    tokenizer: TokenizerName = None
    classes: ClassList = None
    features: FeatureList = None
    candidates: CandidateList = None
    pooling: Pooling = None
    transform: TransformName = None
    image_size: ImageSize = None
    image_mean: ImageMean = None
    image_std: ImageStd = None
    axes: AxisNames = None
    rate: Rate = None
    pair: Pair = False
    truncate: Truncate = False

    def options_of(self, hint: str) -> str:
        """Return the options given that say a hint of `Subject`, as they are written.

        Example:
            >>> from lrp_engine.cli.data_options import DataOptions
            >>> DataOptions(image_size="224", image_mean="0.5").options_of("transform")
            '--image-size, --image-mean'
        """
        if hint != "transform":
            return f"--{hint}"
        images = {
            "--image-size": self.image_size,
            "--image-mean": self.image_mean,
            "--image-std": self.image_std,
        }
        given = [name for name, value in images.items() if value is not None]
        return "--transform" if self.transform is not None else ", ".join(given)

    def hints(self) -> dict[str, Any]:
        """Return what is said as keywords of `Subject`, without those of images and texts."""
        lists = {name: names_of(getattr(self, name)) for name in _LISTS}
        rest = {name: getattr(self, name) for name in ("pooling", "axes", "rate", "truncate")}
        return {**lists, **rest}


NOTHING_SAID: DataOptions = DataOptions()


def with_data_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what data are: it gets them as one argument, `said`.

    Typer reads options off a signature, so each field of `DataOptions` becomes a parameter there.
    """
    hints = get_type_hints(command, include_extras=True)
    options = get_type_hints(DataOptions, include_extras=True)
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name == "said":
            parameters += [
                parameter.replace(name=f.name, annotation=options[f.name], default=f.default)
                for f in fields(DataOptions)
            ]
        else:
            parameters.append(parameter.replace(annotation=hints[parameter.name]))

    @functools.wraps(command)
    def run(**given: Any) -> None:
        said = DataOptions(**{f.name: given.pop(f.name) for f in fields(DataOptions)})
        command(said=said, **given)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    del run.__wrapped__
    return run


def names_of(text: str | None) -> list[str] | None:
    """Return the names in a text, parted by commas."""
    return None if text is None else [name.strip() for name in text.split(",")]


def numbers_of(text: str | None, option: str) -> tuple[float, ...]:
    """Return the numbers in a text, parted by commas. Raises BadParameter if they are none."""
    try:
        return () if text is None else tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no list of numbers", param_hint=option) from error


def size_of(text: str | None) -> tuple[int, int] | None:
    """Return (height, width). Raises BadParameter if the text names none."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if not all(part.isdigit() and int(part) for part in parts) or len(parts) > 2:
        raise typer.BadParameter(f"{text!r} is no size", param_hint="--image-size")
    return int(parts[0]), int(parts[-1])


def named_target_of(text: str | None, weights: str | None, than: str | None) -> Target:
    """Return the target that the options name, by numbers or names; None if none is given.

    Raises BadParameter if they cannot be read or are given together.
    """
    if text is not None and weights is not None:
        raise typer.BadParameter("give --target or --target-json, not both")
    if than is not None and (text is None or weights is not None):
        raise typer.BadParameter("--rather-than goes with --target")
    if weights is not None:
        return _weighted(weights)
    if text is None:
        return None
    if than is not None:
        return {_key(text): 1.0, _key(than): -1.0}
    parts = text.split(",")
    if len(parts) > 1 and all(map(_is_number, parts)):
        return [int(part) for part in parts]
    only: Target = _key(text)
    return only


def viewed_target_of(text: str) -> Target:
    """Return the class that a text names, or weighted classes in JSON. Raises BadParameter."""
    return _weighted(text) if text.lstrip().startswith("{") else _key(text)


def place_of(text: str | None) -> int | str | None:
    """Return a position as a number, or as the word that it is."""
    return None if text is None else _key(text)


def _weighted(text: str) -> dict[int | str, float]:
    try:
        found = parse_json_object(text, "--target-json")
        return {_key(name): float(weight) for name, weight in found.items()}
    except (LrpError, ValueError, TypeError) as error:
        raise typer.BadParameter(
            f"""{text!r} is not of the form '{{"cat": 1, "5": -1}}'""", param_hint="--target-json"
        ) from error


def _key(text: str) -> int | str:
    return int(text) if _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        return text.strip() == text and bool(text) and int(text) is not None
    except ValueError:
        return False
