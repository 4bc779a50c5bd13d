"""Rebuild the set of a plan of which only the hash was approved. Pure.

It is made of what is due now and of what the plan did already: notes on machines, and apps that exist. A guess counts
only if it has the approved hash, so a wrong one is refused, never taken (docs/explanation/protocols.md).
"""

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Final

from msgspec.structs import replace

from reconciler.canonical.change_hashes import change_hashes, hash_of_allocation, hash_of_creation, set_sha256
from reconciler.model.change import ReasonCode
from reconciler.model.machine import Observed
from reconciler.model.plan import AppCreation, DeletionLimit, IpAllocation, Plan
from reconciler.model.plan_notes import noted_in, plan_mark
from reconciler.model.spec import Spec
from reconciler.planner.hashes import early_plan_sha256
from reconciler.planner.holders import owned_in

_MOST_GUESSED: Final = 10  # things that may have been done or not: a thousand guesses


def rebuilt_set(plan_sha256: str, plan: Plan, spec: Spec, observed: Observed) -> frozenset[str]:
    """Return the set of changes that has the hash; empty if none is found."""
    due = change_hashes(plan)
    if plan_sha256 in {set_sha256(due), early_plan_sha256(plan)}:
        return frozenset(due)
    name = plan_mark(plan_sha256)
    noted = {
        one
        for app in observed.apps.values()
        for machine in owned_in(app, spec.stack)
        for one in noted_in(name, machine.metadata)
    }
    for now in (due, change_hashes(_allowed(plan))):
        for made in _made_apps(spec, observed):
            found = frozenset((*now, *noted, *made))
            if set_sha256(found) == plan_sha256:
                return found
    return frozenset()


def _allowed(plan: Plan) -> Plan:
    """Return the plan with the allowance: what is left of it may be below the limit."""
    return replace(plan, deletion_limit=DeletionLimit(destroys=0, of=0, is_allowed=True))


def _made_apps(spec: Spec, observed: Observed) -> Iterator[Iterable[str]]:
    """Yield what the plan may have done to apps whose machines do not tell.

    It may have created those without machines, and allocated their addresses: some of that, or all.
    """
    made = []
    for app in spec.apps:
        seen = observed.apps[app.name]
        if seen.exists and not owned_in(seen, spec.stack):
            made.append(hash_of_creation(spec.stack, AppCreation(name=app.name, org=app.org)))
            made += [
                hash_of_allocation(
                    spec.stack, IpAllocation(app=app.name, kind=one.kind, reason="", code=ReasonCode.MISSING)
                )
                for one in seen.ip_addresses
            ]
    sizes = range(len(made) + 1) if len(made) <= _MOST_GUESSED else (0, len(made))
    for size in sizes:
        yield from combinations(made, size)
