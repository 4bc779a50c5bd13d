"""Regions that the dated list lacks: asked of the platform once, and only where nothing else tells."""

from collections.abc import Collection

import pytest

from reconciler.engine.config.regions import REGIONS
from reconciler.errors import SpecError
from reconciler.machines_api.regions import check_regions
from reconciler.model.regions import LISTED
from reconciler.model.selection import Selection
from reconciler.model.spec import Spec
from reconciler.testing.virtual_time import run_virtually
from tests.support.world import World, open_world, spec_of

ASKED = "/v1/platform/regions"


def spec_in(*regions: str) -> Spec:
    counts = ", ".join(f"{region}: 1" for region in regions)
    return spec_of(
        f"version: 1\nname: s\napps:\n  app:\n    image: i\n    tasks:\n      t: {{command: x, count: {{{counts}}}}}"
    )


def check(
    spec: Spec, seen: Collection[str] = (), *, only: Collection[str] = (), fault: str = ""
) -> tuple[tuple[str, ...], int]:
    """The warnings, and how many calls were made."""

    async def scenario() -> tuple[tuple[str, ...], int]:
        async with open_world() as world:
            if fault:
                world.transport.strike(fault, ahead=0)
            warnings = await check_regions(world.context.client, spec, seen, selection=Selection(only=tuple(only)))
            return warnings, len(calls(world))

    return run_virtually(scenario())


def calls(world: World) -> list[str]:
    return [entry.path for entry in world.trace if entry.path.startswith(ASKED)]


def test_the_dated_list_is_what_the_engine_serves() -> None:
    assert {region.code for region in REGIONS} == LISTED


def test_listed_regions_and_those_of_machines_cost_no_call() -> None:
    assert check(spec_in("iad", "ams")) == ((), 0)
    assert check(spec_in("iad", "xyz"), seen={"xyz"}) == ((), 0)
    assert check(spec_in("iad", "xyz"), only={"other"}) == ((), 0)


def test_an_unknown_region_is_an_error_at_its_place_with_the_nearest_name() -> None:
    with pytest.raises(SpecError) as caught:
        check(spec_in("iad", "ams", "frx"))
    [found] = caught.value.diagnostics
    assert found.message == "the platform has no region 'frx'"
    assert (found.place.line, found.hint) == (7, "did you mean `fra`?")


def test_a_platform_that_cannot_be_asked_is_a_warning() -> None:
    warnings, count = check(spec_in("zzz"), fault="503 before")
    assert count == 1
    assert len(warnings) == 1
    assert "region 'zzz'" in warnings[0]
    assert "cannot be read" in warnings[0]


def test_a_region_is_doubted_once_for_each_spec() -> None:
    spec = spec_of("""
version: 1
name: s
defaults: {regions: [qqq]}
apps:
  app:
    image: i
    tasks:
      a: {command: x}
      b: {command: x, regions: [qqq, iad]}
""")
    assert {region: str(at.place) for region, at in spec.unlisted_regions.items()} == {"qqq": "machines.yaml:4:22"}
