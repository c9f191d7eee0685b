"""Compare explanations of one sample: side by side, with a table of agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..show.figure.look import read_look
from .comparable import name_explanations
from .explanation import Explanation
from .plotting import Given, compare_explanations, read_kind

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def compare(
    explanations: Sequence[Explanation] | Mapping[str, Explanation],
    source: str | None = None,
    sample: int = 0,
    *,
    kind: str | None = None,
    axes: str | Sequence[str] | None = None,
    image: Any = None,
    tokens: Sequence[Any] | None = None,
    class_names: Sequence[str] | Mapping[int, str] | None = None,
    **look: Any,
) -> Figure:
    """Draw explanations of one sample side by side: of several presets, or of several models.

    Each has its own scale, since presets differ in size, unless `scale="all"`. Below is a table of
    how far they agree: Pearson's correlation of the entries shown, and that of their ranks.

    Args:
        explanations: A list, named by their presets; or by name.
        source: The source to draw. Default: the only one.
        sample: Its place in the batch.
        kind: As for `Explanation.plot`, like the other arguments.
        axes: What the source's axes run over, if that is not known.
        image: The image to lay below the maps.
        tokens: One per position.
        class_names: In the order of the classes, or {index: name}.
        look: `overlay`, `absolute`, `scale`, `clip`, `cmap`, `contour`, `pieces`, `top`.

    Raises:
        InputError: there are fewer than two, two have one name, or they differ in shape.

    Example:
        >>> import torch, lrp_engine as lrp
        >>> x = torch.rand(1, 3, 8, 8)
        >>> layers = torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 2)
        >>> engine = lrp.Engine(torch.nn.Sequential(*layers).eval(), x)
        >>> both = [engine.with_preset(p).explain(x, 1) for p in ("epsilon", "epsilon_plus")]
        >>> lrp.compare(both).savefig("presets.png")  # doctest: +SKIP
    """
    named = name_explanations(explanations)
    chosen, waterfall = read_kind(kind)
    given = Given(chosen, axes, image, tokens, class_names)
    wanted = read_look(look, waterfall=waterfall)
    return compare_explanations(named, source, sample, given, wanted)
