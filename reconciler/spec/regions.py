"""Read how many machines a pool has, in which regions, and with which names.

Regions are checked against a dated list of the platform's, without asking it.
"""

from collections.abc import Collection, Mapping
from typing import Final

from reconciler.model.counted import counted
from reconciler.model.regions import GIVEN_UP, LISTED, LISTED_IN
from reconciler.model.spec import Diagnostic, Place
from reconciler.spec.diagnostics import Findings, place_of
from reconciler.spec.yaml_nodes import List, Map, Node, Scalar, plain_value

_ALIASES: Final = frozenset({"any"})


def build_counts(node: Map, findings: Findings) -> dict[str, int]:
    """Return the number of machines by region, from `count` and `regions`.

    A `count` that is one number is for each of the `regions`.
    """
    count = node.get("count")
    if isinstance(count, Map):
        for region, entry in count.items():
            _check_region(region, entry.key, findings)
        return {region: int(plain_value(entry.value)) for region, entry in count.items()}
    number = int(count.value) if isinstance(count, Scalar) else 1
    regions = node.get("regions")
    counts: dict[str, int] = {}
    for item in regions.items if isinstance(regions, List) else ():
        region = item.text if isinstance(item, Scalar) else ""
        _check_region(region, item, findings)
        if region in counts:
            findings.add(item, f"region {region!r} is there twice", hint="remove one; `count` says how many machines")
        counts[region] = number
    return counts or {"iad": number}


def build_names(node: Map, counts: Mapping[str, int], findings: Findings) -> dict[str, dict[str, Place]]:
    """Return the names that `slots` gives, by region, with their places."""
    slots = node.get("slots")
    names: dict[str, dict[str, Place]] = {}
    seen: set[str] = set()
    for region, entry in slots.items() if isinstance(slots, Map) else ():
        items = entry.value.items if isinstance(entry.value, List) else []
        if items and region not in counts:
            hint = f"the pool is in {', '.join(counts)}: add the region to `regions`, or to the map in `count`"
            findings.add(entry.key, f"`slots` names machines in {region}, where the pool has none", hint=hint)
            continue
        if len(items) > counts.get(region, 0):
            first = items[counts[region]]
            hint = "raise `count`, or take names out"
            message = f"{counted(len(items), 'name')} for {counted(counts[region], 'machine')} in {region}"
            findings.add(first, message, hint=hint)
        for item in items:
            name = item.text if isinstance(item, Scalar) else ""
            if name in seen:
                findings.add(
                    item, f"machine {name!r} is in `slots` twice", hint="remove one: names are unique in an app"
                )
            seen.add(name)
            names.setdefault(region, {}).setdefault(name, place_of(item))
    return names


def _check_region(region: str, at: Node, findings: Findings) -> None:
    if region in _ALIASES:
        findings.add(at, f"{region!r} is not a concrete region", hint="name each region, such as iad")
    elif region not in LISTED and region not in findings.unlisted_regions:
        unlisted = Diagnostic(
            place=place_of(at),
            message=f"region {region!r} is not in the platform's list of {LISTED_IN}",
            hint=hint_for_region(region) or "`reconciler plan` asks the platform for its regions of today",
        )
        findings.unlisted_regions[region] = findings.with_line(unlisted)


def hint_for_region(region: str, known: Collection[str] = LISTED) -> str | None:
    """Return which of the known regions was probably meant; None if none was."""
    if (near := GIVEN_UP.get(region)) in known:
        return f"the platform has given it up; `{near}` is near"
    from reconciler.spec.near_names import nearest_region  # only for a misspelt region

    near = nearest_region(region, known)
    return f"did you mean `{near}`?" if near else None
