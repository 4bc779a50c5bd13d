"""Name many slots of a pool shortly: those in a row as one range."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from reconciler.model.spec import Slot

FEW: Final = 20
"""So many changes that are alike are told one by one; more of them as ranges."""


class Range(NamedTuple):
    """Slots of one pool and region whose numbers follow each other.

    One with a name of its own is alone.
    """

    first: Slot
    size: int

    @property
    def address(self) -> str:
        """Return such as `shop/resize-iad-0…199`; of one slot its address."""
        last = self.first.number + self.size - 1
        return self.first.address if self.size == 1 else f"{self.first.address}…{last}"


def ranges_of(slots: Iterable[Slot]) -> Iterator[Range]:
    """Yield the slots as ranges, in the order of app, pool, region and number."""
    found: Range | None = None
    for slot in sorted(set(slots)):
        if found and not found.first.given and slot == _next(found):
            found = Range(found.first, found.size + 1)
            continue
        if found:
            yield found
        found = Range(slot, 1)
    if found:
        yield found


def _next(found: Range) -> Slot:
    first = found.first
    return Slot(app=first.app, pool=first.pool, region=first.region, number=first.number + found.size)
