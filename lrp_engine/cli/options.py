"""Arguments and options that several commands share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .choices import MODEL_FORMS

if TYPE_CHECKING:
    pass

ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help=f"{MODEL_FORMS[0].upper()}{MODEL_FORMS[1:]}.")
]
InputFile = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="Named arrays: .npz, .safetensors or .pt. Default: the example inputs of the model.",
    ),
]
TargetPosition = Annotated[
    int | None, typer.Option(metavar="N", help="Position of the target in a sequence; -1: last.")
]
DrawSeed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Seed for a model that draws random numbers.")
]
ReferenceText = Annotated[
    str | None,
    typer.Option(
        "--reference",
        help="What to compare with under preset delta: a file of arrays, or a number.",
    ),
]
PresetName = Annotated[str, typer.Option("--preset", help="Name or .toml file: see lrp presets.")]
SourceNames = Annotated[
    list[str] | None,
    typer.Option("--source", help="Where relevance is wanted: an input, module path or glob."),
]
OutputName = Annotated[
    str | None,
    typer.Option(
        help="What to explain: an output of the model, a module or node inside of it, or scores:"
        " what its last softmax or sigmoid reads."
    ),
]
SettingTexts = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="INPUT=NUMBER",
        help="Bind an input of an ONNX file that is a setting: --set sr=16000.",
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]

DEFAULT_PRESET = "auto"
CHECKED_PRESET = "attnlrp"  # a check names its rules: it must not follow the choice of `auto`


def engine_options(preset: str, sources: list[str] | None, output: str | None) -> dict[str, object]:
    """Return the options of an engine as its keywords."""
    return {"preset": preset, "sources": sources or None, "output": output}


def settings_of(texts: list[str] | None) -> dict[str, object]:
    """Return the inputs that `--set` binds, by name. Raises BadParameter if one cannot be read."""
    found: dict[str, object] = {}
    for text in texts or ():
        name, equals, number = text.rpartition("=")
        try:
            if not (name and equals):
                raise ValueError
            found[name] = json.loads(number)
        except ValueError as error:
            raise typer.BadParameter(
                f"{text!r} is not of the form input=number", param_hint="--set"
            ) from error
    return found
