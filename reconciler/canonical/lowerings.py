"""Find what a plan leaves less of: memory, CPUs, checks, machines, regions. Pure.

It is the changes' own doing, whoever caused them: what is deferred counts too. A spec that lies is seen by it, such as
one that was written by hand for machines that are larger.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from reconciler.canonical.normalize import Canonical, canonical
from reconciler.model.change import Action, Change, ReasonCode
from reconciler.model.lowering import Lowered, Lowering
from reconciler.model.plan import Plan
from reconciler.model.spec import Slot

_CHANGING: Final = frozenset({Action.UPDATE, Action.REPLACE, Action.ADOPT})
_SECTIONS: Final = frozenset({"guest", "size", "checks", "services"})
_DEDICATED: Final = "performance"
_SHARED: Final = "shared"
_Found: TypeAlias = tuple[Lowered, int | str | None, int | str | None, str]


def lowerings_of(plan: Plan) -> tuple[Lowering, ...]:
    """Return what the plan leaves less of, by app and pool, what goes first."""
    found: dict[tuple[str, str, _Found], list[Slot]] = defaultdict(list)
    for one, slots in _of_pools(plan.effective):
        found[slots[0].app, slots[0].pool, one] += slots
    for change in plan.effective:
        for one in _of_config(change):
            found[change.slot.app, change.slot.pool, one].append(change.slot)
    return tuple(
        Lowering(what=what, app=app, pool=pool, slots=tuple(slots), before=before, after=after, name=name)
        for (app, pool, (what, before, after, name)), slots in found.items()
    )


def _of_pools(changes: Iterable[Change]) -> Iterator[tuple[_Found, list[Slot]]]:
    """Yield what pools have fewer machines of."""
    goes: dict[tuple[str, str, str], list[Change]] = defaultdict(list)
    made: Counter[tuple[str, str, str]] = Counter()
    for change in changes:
        place = (change.slot.app, change.slot.pool, change.slot.region)
        if change.action in {Action.CREATE, Action.ADOPT} or change.code is ReasonCode.POOL:
            made[place] += 1
        elif change.action is Action.DESTROY:
            goes[place].append(change)
    for place, gone in goes.items():
        slots, codes = [change.slot for change in gone], {change.code for change in gone}
        if ReasonCode.POOL_REMOVED in codes:
            yield (Lowered.POOL, None, None, ""), slots
        elif ReasonCode.REGION_REMOVED in codes:
            yield (Lowered.REGION, None, None, place[2]), slots
        elif fewer := _fewer(gone, made[place]):
            yield (Lowered.COUNT, None, None, place[2]), slots[:fewer]


def _fewer(gone: Iterable[Change], made: int) -> int:
    """Return how many machines fewer a pool is to have in a region.

    A machine whose name left `slots` may have another one in its place.
    """
    codes = Counter(change.code for change in gone)  # a duplicate and a clone have others
    counted, named = codes[ReasonCode.COUNT_LOWERED], codes[ReasonCode.NAME_REMOVED]
    return max(counted, counted + named - made)


def _of_config(change: Change) -> Iterator[_Found]:
    """Yield what one machine has less of once its shown fields are changed."""
    sections = {re.split(r"[.\[]", field.path)[0] for field in change.fields} & _SECTIONS
    if change.action not in _CHANGING or not sections or change.observed is None or change.desired is None:
        return
    before, after = canonical(change.observed), canonical(change.desired.config)
    if sections & {"guest", "size"}:
        yield from _of_guest(_map(before.get("guest")), _map(after.get("guest")))
    if sections & {"checks", "services"}:
        yield from _of_checks(before, after)


def _of_guest(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[_Found]:
    for what, key in ((Lowered.MEMORY, "memory_mb"), (Lowered.CPUS, "cpus")):
        had, has = before.get(key), after.get(key)
        if isinstance(had, int) and isinstance(has, int) and has < had:
            yield what, had, has, ""
    kinds = before.get("cpu_kind"), after.get("cpu_kind")
    if kinds == (_DEDICATED, _SHARED):
        yield Lowered.CPU_KIND, *kinds, ""


def _of_checks(before: Canonical, after: Canonical) -> Iterator[_Found]:
    """Yield each check that goes, unless the same one is there under another name.

    The checks of a service in the config have no names: it has fewer of them, or not.
    """
    had, has = _map(before.get("checks")), _map(after.get("checks"))
    new = [check for name, check in has.items() if name not in had]
    for name, check in sorted(had.items()):
        if name in has:
            continue
        if check in new:
            new.remove(check)
        else:
            yield Lowered.CHECK, None, None, name
    numbered, left = _checks_by_port(before), _checks_by_port(after)
    for port, number in sorted(numbered.items()):
        if left[port] < number:
            yield Lowered.CHECK, number, left[port], f"port {port}"


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _checks_by_port(config: Canonical) -> Counter[str]:
    """Count the checks of the config's services, by the port that these pass on to."""
    found: Counter[str] = Counter()
    services = config.get("services")
    for service in services if isinstance(services, list) else ():
        checks = service.get("checks") if isinstance(service, dict) else None
        if isinstance(checks, list):
            found[str(service.get("internal_port"))] += len(checks)
    return found
