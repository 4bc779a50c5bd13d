"""Word what a plan leaves less of, one row for each thing."""

from collections.abc import Iterator
from typing import Any, Final

from reconciler.canonical.lowerings import lowerings_of
from reconciler.model.counted import counted
from reconciler.model.lowering import Lowered, Lowering
from reconciler.model.plan import Plan
from reconciler.render.ranges import ranges_of
from reconciler.render.redact import clean

_NAMED: Final = 12


def lowering_lines(plan: Plan) -> Iterator[str]:
    """Yield a row for each thing that the plan lowers or takes away."""
    for one in lowerings_of(plan):
        yield f"{clean(_words(one))}: {_machines(one)}"


def lowerings_json(plan: Plan) -> list[dict[str, Any]]:
    """Return the same for programs."""
    return [
        {
            "what": one.what.value,
            "app": one.app,
            "pool": one.pool,
            "name": clean(one.name) or None,
            "before": one.before,
            "after": one.after,
            "slots": [clean(slot.name) for slot in one.slots],
        }
        for one in lowerings_of(plan)
    ]


def _words(one: Lowering) -> str:
    pool, count = f"{one.app}/{one.pool}", len(one.slots)
    machines = counted(count, "machine")
    match one.what:
        case Lowered.MEMORY:
            return f"lowers memory of {pool} from {one.before} to {one.after} MB"
        case Lowered.CPUS:
            return f"lowers CPUs of {pool} from {one.before} to {one.after}"
        case Lowered.CPU_KIND:
            return f"lowers CPUs of {pool} from {one.before} to {one.after} ones"
        case Lowered.CHECK if one.before is not None:
            return f"takes away checks of {pool} on {one.name}, {one.after} of {one.before} left"
        case Lowered.CHECK:
            return f"takes away check {one.name} of {pool}"
        case Lowered.COUNT:
            return f"lowers count of {pool} in {one.name} by {count}"
        case Lowered.REGION:
            return f"takes away region {one.name} of {pool}, with {machines}"
        case Lowered.POOL:
            return f"takes away pool {pool}, with {machines}"


def _machines(one: Lowering) -> str:
    found = list(ranges_of(one.slots))
    more = sum(part.size for part in found[_NAMED:])
    names = ", ".join(clean(part.address.partition("/")[2]) for part in found[:_NAMED])
    return f"{names} and {more} more" if more else names
