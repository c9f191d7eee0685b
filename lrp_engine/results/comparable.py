"""Name explanations that are compared, and require that they are of the same thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from ..errors import InputError
from ..show.figure.sample import take_sample
from .by_source import find_source
from .told import Told

_FEWEST = 2


def name_explanations(explanations: Sequence[Told] | Mapping[str, Told]) -> dict[str, Told]:
    """Return explanations by name: that given, or that of their preset.

    Raises InputError if there are fewer than two, or two have one name.
    """
    if isinstance(explanations, Mapping):
        named = dict(explanations)
    else:
        named = {explanation.provenance.preset: explanation for explanation in explanations}
    if len(explanations) < _FEWEST:
        raise InputError(f"a comparison needs two explanations, not {len(explanations)}")
    if len(named) != len(explanations):
        raise InputError(
            "several of these explanations have one preset: name them, as {'a': ..., 'b': ...}"
        )
    return named


def comparable_maps(
    explanations: Mapping[str, Told], source: str | None, sample: int
) -> dict[str, Tensor]:
    """Return the entries that are shown of one sample, by name of the explanation.

    Features of a token and channels of an image are summed, where the axes are known.

    Raises:
        InputError: They differ in the number of samples, in words, or in shape.
    """
    names = {n: find_compared(one, source) for n, one in explanations.items()}
    require_same_data(explanations, names)
    maps = {}
    for name, one in explanations.items():
        at = names[name]
        if not sample < len(one.relevance[at]):
            raise InputError(f"there is no sample {sample}: the batch has {len(one.relevance[at])}")
        maps[name] = _entries(at, one, sample)
    require_one_shape(maps)
    return maps


def _entries(source: str, explanation: Told, sample: int) -> Tensor:
    relevance, labels = explanation.relevance[source], explanation.labels.of(source)
    if not labels.axes:
        return relevance[sample].detach().double().cpu()
    return take_sample(source, relevance, labels, sample, None).amounts


def find_compared(explanation: Told, source: str | None) -> str:
    """Return the source to compare: that named, the only one, or the only one that holds words.

    Raises InputError if there is none, or several.
    """
    with_words = [n for n in explanation.relevance if explanation.labels.of(n).words]
    if source is None and len(with_words) == 1:
        return with_words[0]
    return find_source(explanation.relevance, source)


def require_one_shape(maps: Mapping[str, Tensor]) -> None:
    """Raise InputError unless all maps have one shape."""
    if len({tuple(amounts.shape) for amounts in maps.values()}) > 1:
        told = ", ".join(f"{tuple(amounts.shape)} ({name})" for name, amounts in maps.items())
        raise InputError(f"these explanations cannot be compared entry by entry: shapes {told}")


def require_same_data(explanations: Mapping[str, Told], sources: Mapping[str, str]) -> None:
    """Raise InputError if explanations have other samples, or their texts other tokens."""
    (first, one), *others = explanations.items()
    words = _words(one, sources[first])
    for name, other in others:
        if len(other.explained.reshape(-1)) != len(one.explained.reshape(-1)):
            raise InputError(f"{first} and {name} explain different numbers of samples")
        found = _words(other, sources[name])
        if words and found and words != found:
            raise InputError(
                f"{first} and {name} read the texts as different tokens: relevance cannot be"
                " compared entry by entry"
            )


def _words(explanation: Told, source: str) -> list[list[str]]:
    return [[piece.text for piece in words] for words in explanation.labels.of(source).words]
