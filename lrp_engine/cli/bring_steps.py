"""Bring the model and the data that a command line names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import typer
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..boundary.user_code import calling
from ..bring import Subject
from ..bring.data.files import is_path
from ..bring.data.pictures import ENDINGS as PICTURES
from ..bring.data.tensors import read_arrays
from ..bring.hints import UnreadHintError
from ..bring.joining import join_explanations
from ..bring.models.checkpoint_folder import load_tokenizer
from ..errors import InputError
from ..results.explanation import Explanation
from .array_files import load_inputs
from .console import note, progress, working
from .data_options import DataOptions, numbers_of, size_of
from .image_transform import ImageTransform
from .model_argument import LoadedModel, load_model, named_object


class Brought(NamedTuple):
    """A model, and the data to explain it on."""

    subject: Subject
    data: Any


def bring(
    model: str,
    data: Sequence[str],
    file: Path | None,
    said: DataOptions,
    settings: Mapping[str, object],
    options: Mapping[str, Any],
    *,
    made_up: bool = False,
) -> Brought:
    """Return the model that the user named, and data: those named, or the model's example.

    Args:
        model: As on the command line.
        data: Texts or paths.
        file: Named arrays, in the place of `data`.
        said: What the options say of the data.
        settings: Inputs of an ONNX file that are bound.
        options: Those of the engine.
        made_up: Whether a made-up sample will do, where only sizes count.

    Raises:
        BadParameter: there is no such model, or neither data nor an example.
        LrpError: the model or the data cannot be used.
    """
    if data and file is not None:
        raise typer.BadParameter("give DATA or --inputs, not both")
    hints = {**said.hints(), "tokenizer": named_tokenizer(said.tokenizer)}
    with working("loading the model"):
        given = Path(model) if is_checkpoint(model) else load(model, settings)
        if not isinstance(given, LoadedModel):
            subject = Subject(given, transform=_given_transform(said), **hints, **options)
            with _naming(said):
                found = _data_of(subject, data, file, said, made_up)
                subject.refuse_unread(found)
            return Brought(subject, found)
        found = _read_data(data, said.pair) if data else load_inputs(file, given)
    subject = Subject(given.model, transform=_transform(said, given, found), **hints, **options)
    with _naming(said):
        subject.refuse_unread(found)
    return Brought(subject, found)


def _data_of(
    subject: Subject, data: Sequence[str], file: Path | None, said: DataOptions, made_up: bool
) -> Any:
    """Return the data for a model that reads its own kind of them; None: a made-up sample."""
    if data:
        return _read_data(data, said.pair)
    if file is not None:
        return read_arrays(file)
    if not made_up:
        raise typer.BadParameter(
            "this model brings no example: name texts or files", param_hint="DATA"
        )
    shapes = ", ".join(_sizes(subject.example().inputs))
    note(f"no DATA: the sizes are those of a made-up sample ({shapes})")
    return None


def _sizes(inputs: Any) -> Iterator[str]:
    for leaf in pytree.tree_leaves(inputs):
        if isinstance(leaf, Tensor):
            yield "x".join(map(str, leaf.shape))


def is_checkpoint(model: str) -> bool:
    """Return whether a text names the folder of a checkpoint."""
    return (Path(model) / "config.json").is_file()


def named_tokenizer(text: str | None) -> Any:
    """Return the tokenizer that a text names: a folder of transformers, or module:function.

    Raises:
        BadParameter: there is none.
        CaptureError: the folder cannot be read.
    """
    if text is None:
        return None
    return load_tokenizer(Path(text)) if Path(text).is_dir() else named_object(text)


@contextmanager
def _naming(said: DataOptions) -> Iterator[None]:
    """Name the options behind hints that nothing reads. Raises InputError."""
    try:
        yield
    except UnreadHintError as error:
        options = ", ".join(map(said.options_of, error.unread))
        raise InputError(f"{options}: {error}") from error


def explain_in_batches(brought: Brought, batch: int | None, **question: Any) -> Explanation:
    """Explain the data, so many samples at a time, with progress on stderr; return all in one.

    Each batch's accounts are checked by the caller through the joined ledger.
    """
    if batch is None:
        with working("explaining"):
            found = brought.subject.explain(brought.data, **question)
    else:
        if question.pop("seed", None) is not None or question.pop("reference", None) is not None:
            raise typer.BadParameter("--batch goes with neither --seed nor --reference")
        with progress("explaining") as told:
            parts = brought.subject.explain_batches(
                brought.data, batch=batch, progress=told, **question
            )
            found = join_explanations(list(parts))
    for text in (*brought.subject.engine.captured.notes, *found.labels.notes):
        note(text)
    return found


def load(model: str, settings: Mapping[str, object]) -> Any:
    """Return a module with its arguments, or whatever else a Python name stands for."""
    if model.endswith((".onnx", ".pt2")) or ":" not in model:
        return load_model(model, settings)
    found = named_object(model)
    is_maker = callable(found) and not isinstance(found, nn.Module) and not _is_model(found)
    if is_maker:
        with calling(model):
            found = found()
    return found if _is_model(found) else load_model(model, settings)


def _is_model(thing: Any) -> bool:
    """Return whether something is a model of a library, a pipeline or an estimator."""
    from ..bring.home import is_from

    return is_from(
        thing,
        "transformers.pipelines",
        "transformers.modeling_utils.PreTrainedModel",
        "sklearn.base.BaseEstimator",
    )


def _read_data(data: Sequence[str], pair: bool) -> Any:
    """Return words of the command line as paths where there are such files, else as texts."""
    if pair:
        if len(data) != 2:
            raise typer.BadParameter("--pair needs two texts", param_hint="DATA")
        return tuple(data)
    found = [Path(each) if Path(each).exists() else each for each in data]
    return found[0] if len(found) == 1 else found


def _given_transform(said: DataOptions) -> Any:
    """Return the transform that the options name; None if they name none."""
    if said.transform is not None:
        return named_object(said.transform)
    mean, std = _image_numbers(said)
    size = size_of(said.image_size)
    return ImageTransform(size, mean or None, std or None) if mean or std or size else None


def _image_numbers(said: DataOptions) -> tuple[tuple[float, ...], tuple[float, ...]]:
    mean = numbers_of(said.image_mean, "--image-mean")
    return mean, numbers_of(said.image_std, "--image-std")


def _transform(said: DataOptions, loaded: LoadedModel, data: Any) -> Any:
    """Return what makes tensors of images for a module that says nothing of its images."""
    each = data if isinstance(data, list) else [data]
    given = _given_transform(said)
    if not all(is_path(one, PICTURES) for one in each):
        return given
    if given is not None and not isinstance(given, ImageTransform):
        return given
    size, channels = _example_size(loaded)
    options = given or ImageTransform()
    if given is None:
        at = f" and {size[0]}x{size[1]} pixels, as the example inputs have" if size else ""
        note(
            f"images are given in the range from 0 to 1{at}: --image-mean, --image-std and"
            " --image-size say otherwise"
        )
    return ImageTransform(options.size or size, options.mean, options.std, channels)


def _example_size(loaded: LoadedModel) -> tuple[tuple[int, int] | None, int | None]:
    """Return size and channels of the one image among the example inputs; None if unknown."""
    leaves = [leaf for leaf in pytree.tree_leaves(loaded.example) if isinstance(leaf, Tensor)]
    images = [t for t in leaves if t.dim() == 4 and t.shape[1] in (1, 3)]
    if loaded.is_noise or len(images) != 1:
        return None, None
    height, width = images[0].shape[2:]
    return (height, width), images[0].shape[1]
