"""Which part of a stack a plan is of: some pools, some regions."""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from reconciler.model.spec import Pool, Slot


class Selection(Struct, frozen=True, kw_only=True):
    """Part of a stack; all of it where nothing is named.

    `only` and `exclude` name pools, `regions` regions. A slot is in it if nothing leaves it out.
    """

    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        return not (self.only or self.exclude or self.regions)

    @property
    def words(self) -> str:
        """Return the selection as people read it; empty for a whole stack."""
        parts = [f"only {_listed(self.only)}"] if self.only else []
        parts += [f"without {_listed(self.exclude)}"] if self.exclude else []
        parts += [f"in {_listed(self.regions)}"] if self.regions else []
        return ", ".join(parts)

    def has_pool(self, name: str) -> bool:
        """Return whether it may have slots of the pool."""
        return (not self.only or name in self.only) and name not in self.exclude

    def has_region(self, region: str) -> bool:
        return not self.regions or region in self.regions

    def has_place(self, pool: str, region: str) -> bool:
        return self.has_pool(pool) and self.has_region(region)

    def has(self, slot: Slot) -> bool:
        return self.has_place(slot.pool, slot.region)

    def needs(self, pool: Pool) -> bool:
        """Return whether the pool declares a slot in it."""
        return self.has_pool(pool.name) and any(self.has_region(region) for region, n in pool.counts.items() if n)

    def counts(self, declared: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
        """Return a pool's counts by region: as `declared`, but `before` elsewhere."""
        kept = {region: count for region, count in before.items() if not self.has_region(region)}
        return kept | {region: count for region, count in declared.items() if self.has_region(region)}


WHOLE: Final = Selection()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
