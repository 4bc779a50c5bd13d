"""A service that may rest when it is idle is up once it has been started, however soon it rests again."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from reconciler.apply.health import has_gone_to_rest
from reconciler.engine.models import CheckResult, Machine
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Event, Exit, MachineState
from reconciler.model.machine import Machine as Seen
from reconciler.model.report import Report
from reconciler.model.spec import Spec
from reconciler.testing.virtual_time import run_virtually
from tests.support.world import World, open_world, spec_of


def service(command: str = "[run, '1000000000']", *, autostop: str = "stop") -> Spec:
    """One service that nobody's check ever passes for."""
    ports = f"[{{internal_port: 8080, port: 80, autostop: {autostop}}}]"
    web = f"{{command: {command}, ports: {ports}, checks: {{alive: {{path: /}}}}}}"
    return spec_of(f"version: 1\nname: stack\napps:\n  app: {{image: r.example/a:1, services: {{web: {web}}}}}\n")


async def stop(world: World, machine: Machine) -> None:
    await world.engine.stop_machine("app", machine.id, {}, None)


async def suspend(world: World, machine: Machine) -> None:
    await world.engine.suspend("app", machine.id, None)


async def let_it_be(_world: World, _machine: Machine) -> None:
    """Nobody puts it to rest."""


def applied(spec: Spec, rest: Callable[[World, Machine], Awaitable[None]], *, awake_s: float) -> tuple[Report, float]:
    """The report of an apply, and how long it took; the machine is put to rest so many seconds after its start."""

    async def scenario() -> tuple[Report, float]:
        async with open_world() as world:
            clock = world.context.clock
            began = clock.monotonic()
            applying = asyncio.create_task(world.apply(spec))
            machine = await created(world)
            world.engine.check_results.begin(machine, ["alive"], CheckResult(status="critical", output="no"))
            while world.machines()[0].state != "started":
                await clock.sleep(0.01)
            await clock.sleep(awake_s)
            await rest(world, machine)
            report = await applying
            return report, clock.monotonic() - began

    return run_virtually(scenario())


async def created(world: World) -> Machine:
    while not (world.engine.store.apps and world.machines()):
        await world.context.clock.sleep(0.01)
    return world.machines()[0]


@pytest.mark.parametrize("awake_s", [0.0, 10.0], ids=["before anyone looks", "while its checks are awaited"])
@pytest.mark.parametrize(("autostop", "rest"), [("stop", stop), ("suspend", suspend)])
def test_what_rests_again_is_up(
    autostop: str, rest: Callable[[World, Machine], Awaitable[None]], awake_s: float
) -> None:
    report, took_s = applied(service(autostop=autostop), rest, awake_s=awake_s)
    assert report.is_success
    assert took_s < 60


def test_what_may_not_rest_is_not_up_while_it_is_stopped() -> None:
    report, took_s = applied(service(autostop="off"), stop, awake_s=10)
    assert not report.is_success
    assert took_s > 200


def test_what_ends_by_itself_does_not_rest() -> None:
    report, took_s = applied(service("[exit, '1']"), let_it_be, awake_s=0)
    assert not report.is_success
    assert took_s < 20


def test_what_runs_and_has_checks_that_do_not_pass_is_not_up() -> None:
    report, took_s = applied(service(), let_it_be, awake_s=0)
    assert not report.is_success
    assert took_s > 200


def seen(state: MachineState, *events: str, autostop: str = "stop") -> Seen:
    """A machine as it is told of; its events newest first: `asked` and `crashed` are exits."""
    exits = {"asked": Exit(code=0, requested_stop=True), "crashed": Exit(code=1)}
    told = tuple(
        Event(id=f"{number}", type=kind, status="", source="flyd", timestamp_ms=0, exit=exits.get(kind))
        for number, kind in enumerate(events)
    )
    config = MachineConfig(document={"services": [{"internal_port": 80, "autostop": autostop}]})
    return Seen(app="app", id="m", name="web-iad-0", state=state, region="iad", version="1", config=config, events=told)


@pytest.mark.parametrize(
    ("machine", "has_rested"),
    [
        (seen(MachineState.STOPPED, "asked", "start", "launch"), True),
        (seen(MachineState.SUSPENDED, "suspend", "start", "launch"), True),
        (seen(MachineState.STOPPED, "crashed", "start", "launch"), False),
        (seen(MachineState.STOPPED, "crashed", "start", "asked", "start"), False),
        (seen(MachineState.FAILED, "asked", "start"), False),
        (seen(MachineState.STARTED, "start", "asked", "start"), False),
        (seen(MachineState.STOPPED, "launch"), False),
        (seen(MachineState.CREATED, "launch"), False),
        (seen(MachineState.STOPPED, "asked", "start", autostop="off"), False),
    ],
)
def test_only_what_was_started_and_then_put_to_rest_has_gone_to_rest(machine: Seen, has_rested: bool) -> None:
    assert has_gone_to_rest(machine) == has_rested
