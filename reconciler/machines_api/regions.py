"""Check that a spec's regions exist and have room for new machines.

The platform is asked for its regions only if one is neither in our own list nor the region of an existing machine, and
for its limits only if machines are to be created.
"""

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from reconciler.errors import ApiError, SpecError
from reconciler.machines_api.client import MachinesClient
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.spec import Pool, Spec
from reconciler.spec.regions import hint_for_region


async def check_regions(
    client: MachinesClient, spec: Spec, seen: Collection[str], *, selection: Selection = WHOLE
) -> tuple[str, ...]:
    """Refuse unknown regions. Return warnings if the platform could not be asked.

    A region is known if it is in our own list, which may be old, or if a machine of the plan is there (`seen`). Those
    outside the `selection` are not looked at. One call at most. Raises SpecError with the place of each unknown region.
    """
    pools = spec.pools if spec.unlisted_regions else ()
    wanted = {region for pool in pools for region in _regions_of(pool, selection)}
    doubtful = {region: at for region, at in spec.unlisted_regions.items() if region in wanted - set(seen)}
    if not doubtful:
        return ()
    try:
        known = await client.platform.list_regions()
    except ApiError:
        known = frozenset()
    if not known:
        return tuple(f"{at.place}: {at.message}, and the platform's list cannot be read" for at in doubtful.values())
    unknown = [
        replace(at, message=f"the platform has no region {region!r}", hint=_hint(region, known))
        for region, at in doubtful.items()
        if region not in known
    ]
    if unknown:
        raise SpecError(sorted(unknown, key=lambda one: one.place))
    return ()


async def check_room(client: MachinesClient, needed: Mapping[str, Mapping[str, int]]) -> tuple[str, ...]:
    """Return a warning for each region where creates may be refused for lack of room.

    `needed` has the number of machines after the plan, by organisation and region. One call for each organisation. If
    it fails there is no warning: the creates will show it.
    """
    said = []
    for org, regions in needed.items():
        try:
            limits = await client.platform.limits_of(org)
        except ApiError:
            continue
        for region, count in sorted(regions.items()):
            if limits and region not in limits:
                said.append(f"the platform reports no room in region {region}: creates there may be refused")
            elif limits and count > limits[region]:
                limit = f"organisation {org} may have {limits[region]} machines in region {region}"
                said.append(f"{limit}, and after this plan there would be {count}: creates there may be refused")
    return tuple(said)


def _regions_of(pool: Pool, selection: Selection) -> list[str]:
    return [region for region, count in pool.counts.items() if count and selection.has_place(pool.name, region)]


def _hint(region: str, known: frozenset[str]) -> str:
    return hint_for_region(region, known) or f"it has {', '.join(sorted(known))}"
