"""Hold the result of an explanation: relevance per source, the ledger, and its provenance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.utils import _pytree as pytree

from ..boundary.writing import require_ending, write_text
from ..errors import ExplosionError, InputError, LrpError, SourceError
from ..plan.provenance import Provenance
from ..propagate.explosions import find_explosion
from ..propagate.ledger import Ledger
from ..show.figure.look import read_look
from ..show.labelling import label_all, label_source, read_source_words
from ..show.labels import Labels
from ..show.page import NOTEBOOK, write_fragment, write_lines, write_page
from .batch import Batch, Samples
from .by_source import BySource, find_source
from .page_content import content_of
from .plotting import Given, plot_explanation, read_kind
from .store import StoredExplanation, read_explanation, write_explanation
from .tables import Tabular

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class CannotCompute:
    """Raises an error in the place of what a copied explanation no longer can compute."""

    error: LrpError

    def __call__(self) -> Any:
        """Raise the error."""
        raise self.error


@dataclass(frozen=True)
class Explanation(Batch, Tabular):
    """One explanation of a batch.

    `relevance[source]` has the source's shape and the unit of `explained`, the explained number
    per sample: they sum to it, up to what `ledger` books as absorbed. `coefficient[source]` is c
    with relevance = c * activation.

    `output` and `ledger` are computed along with the explanation and stored here, or computed when
    they are first read: `stored_output` and `stored_ledger` are None then, and `compute_output` and
    `compute_ledger` are called.

    Relevance and coefficients are finite. On a GPU, whether they are is known only when it has
    computed them: `require_finite` then raises NotFiniteError at the first access.

    Example:
        >>> import torch, lrp_engine as lrp
        >>> engine = lrp.Engine(torch.nn.Linear(4, 3).eval(), torch.ones(1, 4), preset="epsilon")
        >>> explanation = engine.explain(torch.ones(2, 4), target=0)
        >>> explanation.relevance["input"].shape, explanation.explained.shape
        (torch.Size([2, 4]), torch.Size([2]))
    """

    explained: Tensor
    relevance: Mapping[str, Tensor]
    coefficient: Mapping[str, Tensor]
    provenance: Provenance
    stored_output: Any = None
    stored_ledger: Ledger | None = None
    stored_labels: Labels | None = None
    compute_output: Callable[[], Any] | None = field(default=None, repr=False, compare=False)
    compute_ledger: Callable[[], Ledger] | None = field(default=None, repr=False, compare=False)
    compute_labels: Callable[[], Labels] | None = field(default=None, repr=False, compare=False)
    require_finite: Callable[[], None] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("relevance", "coefficient"):
            object.__setattr__(self, name, BySource(getattr(self, name), self.require_finite))

    def __getstate__(self) -> dict[str, Any]:
        """Return the tensors, with output and ledger computed: what computes them stays here."""
        state = {f.name: getattr(self, f.name) for f in fields(self)}
        state |= {"stored_labels": self.labels, "compute_labels": None}
        for name in ("output", "ledger"):
            state[f"compute_{name}"] = None
            try:
                state[f"stored_{name}"] = getattr(self, name)
            except LrpError as error:
                state[f"compute_{name}"] = CannotCompute(error)
        detached: dict[str, Any] = pytree.tree_map_only(Tensor, Tensor.detach, state)
        for name in ("relevance", "coefficient"):
            detached[name] = BySource({k: v.detach() for k, v in state[name].items()})
        return detached

    @cached_property
    def output(self) -> Any:
        """The model's output, in the model's own structure; None after `full_output=False`.

        Where one position was explained, another forward pass computes it at the first access.

        Raises:
            InputError: inputs or parameters have been changed in place since.
        """
        return self.stored_output if self.compute_output is None else self.compute_output()

    @cached_property
    def ledger(self) -> Ledger:
        """The account of every unit of relevance, computed at the first access.

        Raises:
            InputError: inputs or parameters have been changed in place since.
        """
        if self.stored_ledger is not None:
            return self.stored_ledger
        if self.compute_ledger is None:
            raise InputError(
                "this explanation was made without its ledger, and nothing is left to compute it"
                " from: explain again with ledger=True"
            )
        return self.compute_ledger()

    @cached_property
    def labels(self) -> Labels:
        """Return how sources and outputs are to be read: axes, words, names, what was asked."""
        if self.stored_labels is not None:
            return self.stored_labels
        return Labels() if self.compute_labels is None else self.compute_labels()

    def labelled(self, labels: Labels) -> Explanation:
        """Return this explanation under other labels; relevance is the same."""
        return replace(self, stored_labels=labels, compute_labels=None)

    def with_labels(
        self,
        source: str | None = None,
        *,
        class_names: Sequence[str] | Mapping[int, str] | None = None,
        samples: Sequence[str] | None = None,
        truth: Sequence[Any] | None = None,
        title: str | None = None,
        unit: str | None = None,
        **of_source: Any,
    ) -> Explanation:
        """Return this explanation with what you know of its data, for pictures, pages and tables.

        Args:
            source: The source that `of_source` speaks of. Default: the only one.
            class_names: In the order of the classes, or {index: name}.
            samples: The name of each sample: of a file, of a row.
            truth: The true class of each sample.
            title: Of the data: "images".
            unit: Of the explained number: "logit".
            of_source: Of the source: `axes` ("batch channel height width"; also token, time,
                frequency, frame, feature, head, layer), `words` (per sample, a token per position),
                `images` (per sample; PIL, numpy or torch), `mean` and `std` by which images were
                normalised, `feature_names`, `feature_values` (per sample), `rate` (entries per
                second), `frequencies` (in Hz, one per row of a spectrogram), `data` (what a source
                inside the model held, of its shape).

        Raises:
            InputError: something does not fit the source.

        Example:
            >>> import torch, lrp_engine as lrp
            >>> engine = lrp.Engine(torch.nn.Linear(2, 2).eval(), torch.ones(1, 2))
            >>> explanation = engine.explain(torch.ones(1, 2), 1).with_labels(
            ...     axes="batch feature", feature_names=["age", "income"], class_names=["no", "yes"]
            ... )
            >>> explanation.labels.of("input").feature_names
            ('age', 'income')
        """
        labels = label_all(
            self.labels,
            len(self),
            class_names=class_names,
            samples=samples,
            truth=truth,
            title=title,
            unit=unit,
        )
        said = read_source_words(of_source)
        if not said.is_empty:
            name = find_source(self.relevance, source)
            labels = label_source(labels, name, self.relevance[name], said)
        return self.labelled(labels)

    def check(
        self,
        tolerance: float | None = None,
        *,
        amplification: float | None = None,
        growth: float | None = None,
        unreached: int = 0,
    ) -> Explanation:
        """Return self if accounts balance, relevance does not explode, and no input is missing.

        Args:
            tolerance: The largest residual allowed, relative to the sum of |R| at an op; by default
                that of the dtype.
            amplification: The largest sum of |R| that an op may pass on over that which it
                received; by default 1e4. `math.inf` for no limit.
            growth: The largest sum of |R| at an op over that which set out from the output; by
                default 1e5. `math.inf` for no limit.
            unreached: How many inputs may influence the explained output and be explained nowhere.

        Raises:
            SourceError: more inputs are; they are named.
            ConservationError: an op is out of tolerance; the first from the output is named.
            ExplosionError: relevance balances but is far larger than what is explained.
        """
        missing = self.provenance.unreached
        if len(missing) > unreached:
            raise SourceError(
                f"{len(missing)} input(s) influence the output and are explained nowhere:\n  "
                + "\n  ".join(missing)
                + "\nChoose rules that pass the op named, name a module or node behind it as a"
                f" source, or allow it with check(unreached={len(missing)})."
            )
        self.ledger.check(tolerance)
        explosion = find_explosion(self.ledger, amplification, growth)
        if explosion is not None:
            raise ExplosionError(str(explosion))
        return self

    def per_token(self, source: str = "input") -> Tensor:
        """Return relevance summed over the last axis: (batch, positions) for embeddings."""
        return self.relevance[source].sum(-1)

    def share_at(self, position: int = 0, source: str = "input") -> Tensor:
        """Return the share of sum |R| at one position, (batch,): near 1 at a sink.

        Relevance per token as in `per_token`. Language models park attention on their first
        token; a map that is all sink says little, and a contrast of two answers says more.
        """
        amounts = self.per_token(source).abs()
        return amounts[:, position] / amounts.sum(1)

    def save(self, path: str | Path) -> Path:
        """Write tensors, ledger and provenance to one safetensors file, and return its path."""
        leaves = pytree.tree_leaves(self.output)
        stored = StoredExplanation(
            explained=self.explained,
            relevance=self.relevance,
            coefficient=self.coefficient,
            outputs=[leaf for leaf in leaves if isinstance(leaf, Tensor)],
            provenance=self.provenance,
            ledger=self.ledger,
            labels=self.labels,
        )
        return write_explanation(Path(path), stored)

    @staticmethod
    def load(path: str | Path) -> Explanation:
        """Read a saved explanation; its output is the flat list of output tensors.

        Raises:
            InputError: the file is not a saved explanation.
        """
        stored = read_explanation(Path(path))
        return Explanation(
            explained=stored.explained,
            relevance=stored.relevance,
            coefficient=stored.coefficient,
            provenance=stored.provenance,
            stored_output=stored.outputs,
            stored_ledger=stored.ledger,
            stored_labels=stored.labels,
        )

    def plot(
        self,
        source: str | None = None,
        sample: Samples = 0,
        *,
        kind: str | None = None,
        axes: str | Sequence[str] | None = None,
        image: Any = None,
        tokens: Sequence[Any] | None = None,
        class_names: Sequence[str] | Mapping[int, str] | None = None,
        ledger: bool = True,
        ax: Axes | None = None,
        **look: Any,
    ) -> Figure:
        """Draw relevance as the picture that the source's axes call for.

        Images lie below their map, words are chips, features bars, series strips of colour, videos
        frames. Red speaks for what was asked, blue against it. The title says what was asked, the
        strip below it where the explained number went.

        Args:
            source: The source to draw. Default: all of them in one picture.
            sample: Its place in the batch; several, or a slice, give a sheet.
            kind: "image", "words", "table", "waterfall", "series", "spectrogram" or "video".
                Default: by the axes.
            axes: What the source's axes run over, if that is not known: "batch channel time".
            image: The image to lay below the map: PIL, numpy or torch, channels first or last.
                Default: that of the labels, or the input itself.
            tokens: One per position; of tables, one per feature.
            class_names: In the order of the classes, or {index: name}.
            ledger: False leaves the strip out; the ledger may have to be computed for it.
            ax: Axes of matplotlib's to draw on, without strip; one source of one sample.
            look: `overlay` ("ghost", "alpha", "beside"), `absolute` (|R| without signs), `scale`
                ("own", "row" for the sources of one sample, "all", or the number at which colours
                end), `clip` (per cent of the entries
                of large maps within the colours; 100 for all), `cmap`, `contour` (lines at half
                the limit), `pieces` (do not merge the pieces of words), `top` (how many features,
                frames or channels).

        Returns:
            A figure of matplotlib's that shows itself in notebooks; pyplot does not know of it.

        Raises:
            InputError: there is no such source, sample or kind; what is given does not fit; the
                axes are not known; or matplotlib is missing.

        Example:
            >>> import torch, lrp_engine as lrp
            >>> explanation = lrp.explain(torch.nn.Linear(3, 2).eval(), torch.ones(1, 3), 1)
            >>> figure = explanation.plot(tokens=["age", "income", "debt"])
            >>> figure.savefig("why.png")  # doctest: +SKIP
        """
        chosen, waterfall = read_kind(kind)
        given = Given(chosen, axes, image, tokens, class_names)
        wanted = read_look(look, waterfall=waterfall)
        return plot_explanation(self, source, sample, given, wanted, ax, ledger=ledger)

    def __repr__(self) -> str:
        """Return a few lines; no tensor is printed, and nothing computed."""
        try:
            return write_lines(content_of(self, compute=False))
        except LrpError as error:
            return f"{type(self).__name__}, {type(error).__name__}: {error}"

    def _repr_html_(self) -> str:
        content = content_of(self, compute=False)
        return write_fragment(content, in_full=False, budget=NOTEBOOK)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return text and HTML: a notebook shows the HTML, what cannot shows the text."""
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def to_html(
        self, source: str | None = None, *, tokens: Sequence[Sequence[str]] | None = None
    ) -> str:
        """Return a piece of HTML that needs neither script nor network, for notebooks and pages.

        It tells what was asked, what the model said, relevance as pictures and as tables, where
        the explained number went, and what all that rests on. It follows the theme of the notebook
        around it. At most 8 samples and 1 MB; what is left out is said. Output and ledger are
        computed if they are not there yet.

        Args:
            source: The source to show; by default all.
            tokens: One list of words per sample: `with_labels(words=...)` says the same.

        Raises:
            InputError: there is no such source, or tokens do not fit the positions.
        """
        said = self if tokens is None else self.with_labels(source, words=tokens)
        name = None if source is None else find_source(self.relevance, source)
        return write_fragment(content_of(said, name, compute=True))

    def write_page(self, path: str | Path) -> Path:
        """Write what `to_html` tells as a page of its own, and return its path.

        Light or dark as the reader's system is. At most 8 samples and 5 MB. Two calls write the
        same bytes.

        Raises:
            InputError: the path does not end in `.html` or `.htm`.

        Example:
            >>> import tempfile, torch, lrp_engine as lrp
            >>> explanation = lrp.explain(torch.nn.Linear(2, 2).eval(), torch.ones(1, 2), 1)
            >>> explanation.write_page(f"{tempfile.mkdtemp()}/why.html").name
            'why.html'
        """
        page = write_page(content_of(self, compute=True))
        return write_text(require_ending(path, [".html", ".htm"]), page)
