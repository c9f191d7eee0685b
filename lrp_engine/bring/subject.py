"""Explain a model of any kind on data as people have them: texts, images, rows."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..engine import Engine
from ..errors import InputError, TargetError, suggest
from ..plan.prepare import ModelSource
from ..preset.preset import Preset
from ..results.explanation import Explanation
from ..run.target import Position, is_class
from .adapters import open_model
from .batch import Batch, Reader, Sample, chunks
from .data.tensors import holds_tensors
from .hints import Hints
from .labelling import label, require_classes
from .readers.tensor_reader import TensorReader
from .ready import Ready
from .targets import number_position, number_target

_OWN = ("model", "example_inputs")  # of an engine's arguments, those that a subject gives

Progress = Callable[[int, int], None]


class Subject:
    """A model of any kind, captured once, which is explained on data as people have them.

    Args:
        model: A torch module, an ExportedProgram, a function of tensors; a model or pipeline of
            transformers, or the folder of its checkpoint; an estimator or pipeline of scikit-learn;
            an ONNX file, or its bytes; a `.pt2` file. Nothing is downloaded.
        tokenizer: Makes token ids of texts: of transformers, of tokenizers, or a function.
        transform: Makes a tensor (channels, height, width) of an image of pillow.
        classes: Names of the classes, where the model does not know them.
        features: Names of the features, of a table or of other arrays.
        axes: Names of the input's axes, such as "batch channel time".
        rate: Samples per second of the input.
        candidates: The labels that a zero-shot classifier chooses from.
        pooling: How a sentence's vector is made of its tokens': "mean" or "cls".
        truncate: Cut texts that are longer than the model takes; else they are refused.
        options: Those of `Engine`: preset, sources, output, policy, ...

    The model is captured when it first meets data.

    Raises:
        CaptureError: It is no model, or one that cannot be looked into.
        InputError: A library that it needs is missing, or an option does not exist. Where data
            come, one of the first nine that nothing reads there: it would have been ignored.

    Example:
        >>> import torch, lrp_engine as lrp
        >>> model = torch.nn.Linear(2, 2).eval()
        >>> subject = lrp.Subject(model, classes=["no", "yes"], features=["age", "height"])
        >>> subject.explain({"height": 1.8, "age": 40}, "yes").relevance["input"].shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        model: Any,
        *,
        tokenizer: Any = None,
        transform: Callable[[Any], Any] | None = None,
        classes: Sequence[str] | Mapping[int, str] | None = None,
        features: Sequence[str] | None = None,
        axes: str | Sequence[str] | None = None,
        rate: float | None = None,
        candidates: Sequence[str] | None = None,
        pooling: str | None = None,
        truncate: bool = False,
        **options: Any,
    ) -> None:
        hints = Hints(
            tokenizer, transform, classes, features, axes, rate, candidates, pooling, truncate
        )
        _refuse_unknown(options)
        self._opened, self._options, self._hints = open_model(model, hints), options, hints
        self._tensors = TensorReader(None, hints)
        self._engine: Engine | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes in their order; empty if they have none."""
        return self._opened.class_names

    @property
    def module(self) -> ModelSource:
        """The model as an engine captures it."""
        return self._opened.module

    @property
    def engine(self) -> Engine:
        """The engine. Raises InputError before anything was explained: data say the sizes."""
        if self._engine is None:
            raise InputError("the model is captured when it is first explained: no data yet")
        return self._engine

    def with_preset(self, preset: str | Path | Preset) -> Subject:
        """Return the same model under another preset; what was captured is shared.

        Raises PresetError for a preset that does not exist or is incomplete.
        """
        other = copy(self)
        other._options = {**self._options, "preset": preset}
        if self._engine is not None:
            other._engine = self._engine.with_preset(preset)
        return other

    def refuse_unread(self, data: Any) -> None:
        """Raise InputError if something was said beside the model that such data do not need.

        Every other method does so, too.
        """
        self._reader(self._opened.example if data is None else data)

    def read(self, data: Any) -> Batch:
        """Return data as the model takes them. Raises InputError if it does not take them."""
        reader = self._reader(data)
        return self._to_device(reader.read(reader.samples(data)))

    def ready(self, data: Any, target: Any = None, position: Any = None) -> Ready:
        """Return what an engine is called with to explain data; arguments are as for `explain`.

        Raises:
            InputError: The model does not take such data.
            TargetError: The target or position names nothing.
        """
        return self._ask(self.read(data), target, position)

    def ready_sample(
        self, data: Any, sample: int, target: Any = None, position: Any = None
    ) -> Ready:
        """Return what an engine is called with to explain one sample of data; others are not read.

        Raises:
            InputError: The model does not take such data, or there are fewer samples.
            TargetError: The target or position names nothing.
        """
        reader = self._reader(data)
        if isinstance(reader, TensorReader):
            parts: list[Sample] = reader.split(data, 1)
        else:
            parts = list(reader.samples(data))
        if not sample < len(parts):
            raise InputError(f"there is no sample {sample}: the data have {len(parts)}")
        batch = self._to_device(reader.read(parts[sample : sample + 1]))
        return self._ask(batch, target, position)

    def capture(self, data: Any = None) -> Ready:
        """Return the engine, captured on data, with no question asked yet.

        Args:
            data: As for `explain`; None: a made-up sample, where the model says what it reads.

        Raises:
            InputError: The model does not take such data, or has to be shown some.
        """
        batch = self.example(data)
        engine = self._capture(batch)
        require_classes(self._opened, engine)
        return Ready(engine, batch)

    def example(self, data: Any = None) -> Batch:
        """Return data as the model takes them; None: a made-up sample. Raises InputError."""
        if data is not None:
            return self.read(data)
        if self._opened.example is None:
            raise InputError("this model does not say what its data look like: give some")
        return self.read(self._opened.example)

    def explain(
        self,
        data: Any,
        target: Any = None,
        *,
        position: Any = None,
        ledger: bool = False,
        seed: int | None = None,
        reference: Any = None,
    ) -> Explanation:
        """Explain data in one batch.

        Args:
            data: Texts, images, rows, sounds, paths of files or a folder, lists of these, or what
                the model is called with.
            target: As for `Engine.explain`, with names: of a class, or the text of a token.
            position: As for `Engine.explain`, or a word of the text.
            ledger: As for `Engine.explain`.
            seed: As for `Engine.explain`.
            reference: As for `Engine.explain`; a text, an image or a path is read as the data are.

        Returns:
            The explanation, which knows its words, images, features and class names.

        Raises:
            InputError: The model does not take such data.
            TargetError: The target or position names nothing.
        """
        asked = self.ready(data, target, position)
        base = reference if _is_ready(reference) else self.read(reference).inputs
        return self._explain(asked, ledger=ledger, seed=seed, reference=base)

    def explain_batches(
        self,
        data: Any,
        target: Any = None,
        *,
        batch: int = 32,
        position: Any = None,
        ledger: bool = False,
        progress: Progress | None = None,
    ) -> Iterator[Explanation]:
        """Explain many samples, so many at a time; files are read when their turn comes.

        Args:
            data: As for `explain`.
            target: As for `explain`; a list of one per sample goes on from batch to batch.
            batch: Samples per batch.
            position: As for `explain`, like the target.
            ledger: As for `explain`.
            progress: Called with how many batches are done, and how many there are.

        Yields:
            One explanation per batch.

        Raises:
            InputError: The model does not take such data.
        """
        for asked in self.ready_batches(
            data, target, batch=batch, position=position, progress=progress
        ):
            yield self._explain(asked, ledger=ledger)

    def ready_batches(
        self,
        data: Any,
        target: Any = None,
        *,
        batch: int = 32,
        position: Any = None,
        progress: Progress | None = None,
    ) -> Iterator[Ready]:
        """Yield what an engine is called with, batch by batch, as `explain_batches` does it."""
        if batch < 1:
            raise InputError(f"batch={batch}: at least one sample is needed")
        reader = self._reader(data)
        if isinstance(reader, TensorReader):
            parts: list[Sequence[Sample]] = [[part] for part in reader.split(data, batch)]
        else:
            parts = list(chunks(reader.samples(data), batch))
        start = 0
        for number, part in enumerate(parts):
            read = self._to_device(reader.read(part))
            count = batch if isinstance(reader, TensorReader) else len(part)
            here = slice(start, start + count)
            yield self._ask(read, _part(target, here), _part(position, here))
            start += count
            if progress is not None:
                progress(number + 1, len(parts))

    def _explain(self, asked: Ready, **rest: Any) -> Explanation:
        found = asked.engine.explain(
            asked.batch.inputs, asked.target, position=asked.position, **rest
        )
        return label(found, asked.batch, self._opened, asked.engine)

    def _ask(self, batch: Batch, target: Any, position: Any) -> Ready:
        """Put a question in the terms of the engine. Raises TargetError."""
        target = number_target(target, self._opened.names)
        place: Position = number_position(position, batch)
        if place is None and self._opened.needs_position and is_class(target):
            raise TargetError(self._opened.needs_position)
        if not is_class(target):
            place = None if position is None else place
        if self._opened.ask is not None:
            batch, target = self._opened.ask(batch, target)
        engine = self._capture(batch)
        require_classes(self._opened, engine)
        return Ready(engine, batch, target, place)

    def _capture(self, batch: Batch) -> Engine:
        if self._engine is None:
            options = {"output": self._opened.output, **self._options}
            if options["output"] is None:
                options["output"] = self._opened.output
            self._engine = Engine(self._opened.module, batch.inputs, **options)
        return self._engine

    def _reader(self, data: Any) -> Reader:
        reader = self._tensors if holds_tensors(data) else self._opened.choose_reader(data)
        self._hints.refuse_unread((*self._opened.takes, *reader.takes), reader.what)
        return reader

    def _to_device(self, batch: Batch) -> Batch:
        """Move what was read to the model's device; tensors of the user's stay where they are."""
        device = _device_of(self._opened.module)
        if device is None or device.type == "cpu":
            return batch

        def move(leaf: Any) -> Any:
            return leaf.to(device) if isinstance(leaf, Tensor) else leaf

        return replace(batch, inputs=pytree.tree_map(move, batch.inputs))


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    """Raise InputError for an option that neither a subject nor an engine has."""
    engine = [name for name in inspect.signature(Engine).parameters if name not in _OWN]
    known = [f.name for f in fields(Hints)] + engine
    for name in options:
        if name not in engine:
            raise InputError(f"there is no option {name}={suggest(name, known)}")


def _is_ready(reference: Any) -> bool:
    """Return whether a reference is in the terms of the model already."""
    return not isinstance(reference, str) and (
        not hasattr(reference, "__fspath__") and not hasattr(reference, "convert")
    )


def _part(choice: Any, here: slice) -> Any:
    """Return a batch's part of a choice per sample."""
    several = isinstance(choice, (Sequence, Tensor)) and not isinstance(choice, str)
    return choice[here] if several and len(choice) > 1 else choice


def _device_of(module: Any) -> torch.device | None:
    if not isinstance(module, nn.Module):
        return None
    tensors = itertools.chain(module.parameters(), module.buffers())
    return next((tensor.device for tensor in tensors), None)
