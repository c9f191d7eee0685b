"""Steps of `lrp view`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..boundary.reading import read_text
from ..boundary.tables import read_json_object
from ..boundary.writing import require_ending, write_text
from ..bring.data.tensors import holds_tensors
from ..bring.labelling import labels_of
from ..capture.signature import as_call
from ..engine import Engine
from ..errors import InputError
from ..explorer import Scene, write_page
from ..explorer.serve import LIVE, LivePage, address_of
from ..explorer.serve import serve as make_server
from ..results.explanation import Explanation
from ..run.target import Target
from ..show.labels import Labels, SourceLabels
from ..show.pieces import pieces_of
from ..views import Exploration, scene_of
from ..views import explore as explore_engine
from .bring_steps import Brought
from .console import note, say, working
from .output_files import PAGES


@dataclass(frozen=True)
class Texts:
    """Texts of token ids, by id, and names of classes, in order; empty where nobody gave any."""

    words: Mapping[int, str]
    classes: tuple[str, ...]

    def labels(self, leaves: Mapping[str, Any], sample: int | None = None) -> Labels:
        """Return labels for inputs of token ids; without names of classes, words name them.

        `sample` is the number of the only sample, in the user's own batch.
        """
        classes = self.classes
        if not classes and self.words:
            classes = tuple(self.words.get(i, f"[{i}]") for i in range(1 + max(self.words)))
        ids = {
            name: leaf
            for name, leaf in leaves.items()
            if isinstance(leaf, Tensor) and leaf.dim() == 2 and leaf.dtype == torch.int64
        }
        sources = {name: SourceLabels(words=self._pieces(leaf)) for name, leaf in ids.items()}
        return Labels(
            sources=sources if self.words else {},
            class_names=classes,
            samples=() if sample is None else (f"sample {sample}",),
        )

    def _pieces(self, ids: Tensor) -> tuple[Any, ...]:
        known = self.words
        return tuple(pieces_of([known.get(i, f"[{i}]") for i in row]) for row in ids.tolist())


def read_texts(words: Path | None, class_names: Path | None) -> Texts:
    """Read a vocabulary (JSON, text -> id, or one text a line) and the names of classes."""
    classes = () if class_names is None else tuple(_lines(class_names))
    if words is None:
        return Texts({}, classes)
    if words.suffix == ".json":
        found = read_json_object(words)
        return Texts({int(i): text for text, i in found.items()}, classes)
    return Texts(dict(enumerate(_lines(words))), classes)


def _lines(path: Path) -> list[str]:
    return read_text(path).splitlines()


def demo(
    preset: str, targets: Sequence[Target], position: int | str | None
) -> tuple[Viewed, Texts]:
    """Return one prompt of the demo's language model, and its words."""
    from ..demo.ioi import ioi_pairs, load_ioi_model
    from ..demo.ioi.data import vocabulary

    with working("capturing the model and planning"):
        given = ioi_pairs(count=1).clean
        engine = Engine(load_ioi_model(), given, preset=preset)
    place = position if isinstance(position, int) else None
    texts = Texts({i: word for word, i in vocabulary().items()}, ())
    return Viewed(engine, given, tuple(targets), place), texts


@dataclass(frozen=True)
class Viewed:
    """One sample to look at: the engine, its inputs, what is asked, and what they are called."""

    engine: Engine
    inputs: Any
    targets: tuple[Target, ...] = ()
    position: int | None = None
    labels: Labels | None = None


def prepare(
    brought: Brought, sample: int, targets: Sequence[Target], position: int | str | None
) -> Viewed:
    """Return one sample of the data, ready to be explained at every layer.

    Raises:
        InputError: there is no such sample, or targets are runs of their own.
        TargetError: a target names nothing.
    """
    subject, data = brought
    if holds_tensors(data):
        data, sample = take_sample(data, sample), 0
    with working("capturing the model and planning"):
        asked = [subject.ready_sample(data, sample, t, position) for t in targets or [None]]
    first = asked[0]
    if any(_differ(first.batch.inputs, other.batch.inputs) for other in asked[1:]):
        raise InputError("each of these targets is a run of its own: give one")
    for text in (*first.engine.captured.notes, *first.batch.notes):
        note(text)
    return Viewed(
        first.engine,
        first.batch.inputs,
        tuple(each.target for each in asked) if targets else (),
        _one_position(first.position if targets else first.batch.position, position),
        labels_of(first.batch, subject.class_names, first.engine),
    )


def _differ(a: Any, b: Any) -> bool:
    leaves = zip(pytree.tree_leaves(a), pytree.tree_leaves(b), strict=True)
    return any(isinstance(x, Tensor) and not torch.equal(x, y) for x, y in leaves)


def _one_position(found: Any, said: int | str | None) -> int | None:
    """Return the position of the only sample."""
    if isinstance(found, (list, tuple)):
        return int(found[0])
    if found is None and isinstance(said, int):
        return said
    place: int | None = found
    return place


def take_sample(inputs: Any, sample: int) -> Any:
    """Return a batch of one sample; tensors of another length belong to no sample.

    Raises InputError if there is no such sample.
    """
    tensors = [x for x in pytree.tree_leaves(inputs) if isinstance(x, Tensor) and x.dim()]
    batch = len(tensors[0]) if tensors else 0
    if not sample < batch:
        raise InputError(f"there is no sample {sample}: the batch has {batch}")

    def take(leaf: Any) -> Any:
        own = isinstance(leaf, Tensor) and leaf.dim() > 0 and len(leaf) == batch
        return leaf[sample : sample + 1] if own else leaf

    return pytree.tree_map(take, inputs)


def explore(viewed: Viewed, top: int, texts: Texts, sample: int) -> Exploration:
    """Explain one sample at every layer; texts of the user's go before those of the data."""
    captured = viewed.engine.captured
    leaves = captured.flatten_inputs(*as_call(viewed.inputs))
    names = [port.name for port in captured.inputs]
    labels = texts.labels(dict(zip(names, leaves, strict=True)), sample)
    if viewed.labels is not None and not labels.sources:
        known = viewed.labels
        classes = labels.class_names or known.class_names
        labels = replace(known, class_names=classes, samples=known.samples or labels.samples)
    return explore_engine(
        viewed.engine,
        viewed.inputs,
        viewed.targets or None,
        position=viewed.position,
        top=top,
        labels=labels,
    )


def page_of(scene: Scene) -> str:
    """Return the page of a scene."""
    return write_page(scene)


def page_of_saved(file: Path, sample: int, texts: Texts) -> str:
    """Return the page of a saved explanation."""
    explanation = Explanation.load(file)
    own = explanation.labels
    labels = replace(own, class_names=texts.classes or own.class_names)
    return write_page(scene_of(explanation, sample=sample, labels=labels))


def write(path: Path, page: str) -> None:
    """Write the page. Raises InputError if that is not possible."""
    require_ending(path, PAGES)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, page)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}") from error


def run_server(found: Exploration, scene: Scene, port: int) -> None:
    """Serve the page until the user stops it."""
    live = LivePage(write_page(scene, live=LIVE), lambda target, node: found.trace(target, [node]))
    try:
        server = make_server(live, port)
    except OSError as error:
        raise InputError(f"port {port} cannot be used: {error}; another --port") from error
    say(f"open {address_of(server, live)} in a browser; Ctrl+C ends it")
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("ended")
