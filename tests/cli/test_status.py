"""`reconciler status` tells how often a service was restarted, and which of its checks do not pass."""

from datetime import UTC, datetime

from reconciler.engine.models import CheckResult
from reconciler.machines_api.observe import observe
from reconciler.operations.status import rows_of
from reconciler.render.status import status_json, status_text
from tests.support.world import World, spec_of

SPEC = """
version: 1
name: stack
apps:
  app:
    image: i
    services:
      web:
        command: [run, '3', exit, '1']
        ports: [80]
        checks: {alive: {path: /}}
"""


async def test_restarts_and_failing_checks_are_told(world: World) -> None:
    spec = spec_of(SPEC)

    await world.apply(spec)
    world.engine.check_results.begin(world.machines()[0], ["alive"], CheckResult(status="critical", output="refused"))
    await world.context.clock.sleep(8)
    observed = await observe(world.context.client, ["app"], clock=world.context.clock)
    [row] = list(rows_of(spec, observed))
    assert row.restarts >= 2
    text = status_text([row], now=datetime(2026, 1, 1, tzinfo=UTC), shows_machines=True)
    assert f"{row.restarts} restarts; check alive critical (refused)" in text
    [shown] = status_json([row])["slots"]
    assert shown["restarts"] == row.restarts
    assert shown["failing_checks"] == [{"name": "alive", "status": "critical", "output": "refused"}]


async def test_a_service_without_a_machine_is_not_called_healthy(world: World) -> None:
    observed = await observe(world.context.client, ["app"], clock=world.context.clock)
    rows = list(rows_of(spec_of(SPEC), observed))
    text = status_text(rows, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert "1 missing" in text
    assert "healthy" not in text
