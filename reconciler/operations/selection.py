"""Check the pools and regions that select a part of a stack.

Pools are checked before any call, regions after, since a region is of the spec, or of a machine that the stack owns.
"""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from reconciler.errors import UsageError
from reconciler.model.selection import Selection
from reconciler.model.spec import Spec

if TYPE_CHECKING:
    from reconciler.model.machine import Observed


def check_pools(specs: Iterable[Spec], selection: Selection) -> None:
    """Raise UsageError where it names a pool that no spec has, or one twice over."""
    specs = list(specs)
    known = {pool.name for spec in specs for pool in spec.pools}
    for name in (*selection.only, *selection.exclude):
        if name not in known:
            raise UsageError(f"{specs[-1].file} has no pool {name!r}", hint=nearest_of(name, known, "its pools"))
    if both := sorted({*selection.only} & {*selection.exclude}):
        raise UsageError(f"the pool {both[0]!r} is named by both --only and --exclude", hint="leave one of them out")


def require_regions(spec: Spec, selection: Selection, observed: "Observed") -> None:
    """Raise UsageError where it names a region that the stack is not in."""
    if selection.regions:
        from reconciler.planner.holders import owned_in

        there = {machine.region for app in observed.apps.values() for machine in owned_in(app, spec.stack)}
        check_regions_known(spec, selection, there)


def check_regions_known(spec: Spec, selection: Selection, there: Collection[str]) -> None:
    """Raise UsageError for a region that is neither of the spec nor among `there`.

    `there` are the regions of the stack's machines.
    """
    from reconciler.model.regions import LISTED

    known = {*there, *(region for pool in spec.pools for region in pool.counts)}
    for region in selection.regions:
        if region in known:
            continue
        why = "and no machine of the stack is there"
        if region not in LISTED:
            why += "; it is no region that this version knows"
        raise UsageError(
            f"{spec.file} has no region {region!r}, {why}", hint=nearest_of(region, known, "the stack's regions")
        )


def nearest_of(name: str, known: Collection[str], what: str) -> str:
    """Return which of the known names was probably meant, and all of them."""
    import difflib

    near = difflib.get_close_matches(name, sorted(known), n=1)
    listed = f"{what}: {', '.join(sorted(known)) or 'none'}"
    return f"did you mean {near[0]!r}? {listed}" if near else listed
