"""Compare what is kept in dictionaries with what was there: by identity, many at once.

Everything that a call compares runs in C, one `map` over flat lists: a call of GPT-2 small looks at
a thousand places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import contains, getitem, is_

Place = tuple[Mapping[str, object], str]


@dataclass(frozen=True)
class SameObjects:
    """Places, each a dictionary and a key, with the very object that has to be there.

    `empty_homes` and `empty_keys` are the places at which nothing may be.
    """

    homes: Sequence[Mapping[str, object]]
    keys: Sequence[str]
    objects: Sequence[object]
    empty_homes: Sequence[Mapping[str, object]] = ()
    empty_keys: Sequence[str] = ()

    @classmethod
    def at(
        cls, objects: Iterable[tuple[Place, object]], empty: Iterable[Place] = ()
    ) -> SameObjects:
        """Expect these objects at their places, and nothing at the empty ones."""
        pairs, places = list(objects), list(empty)
        return cls(
            [home for (home, _), _ in pairs],
            [key for (_, key), _ in pairs],
            [found for _, found in pairs],
            [home for home, _ in places],
            [key for _, key in places],
        )

    def are_there(self) -> bool:
        """Return whether every place holds what it held."""
        try:
            same = all(map(is_, map(getitem, self.homes, self.keys), self.objects))
        except KeyError:
            return False
        return same and not any(map(contains, self.empty_homes, self.empty_keys))
