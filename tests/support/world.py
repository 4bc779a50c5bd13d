"""A whole world in process: an engine on virtual time, a client of it, and specs to apply to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from reconciler.apply.options import Options
from reconciler.engine.engine import Engine
from reconciler.engine.faults.settings import Settings
from reconciler.engine.models import Machine as EngineMachine
from reconciler.engine.models import Volume
from reconciler.invoke.invoke import InvokeOptions, invoke
from reconciler.machines_api.client import MachinesClient
from reconciler.machines_api.transport import TraceEntry
from reconciler.model.image import Resolve
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.model.run import Run
from reconciler.model.secret import Secret
from reconciler.model.spec import Spec
from reconciler.operations.apply import carry_out, propose_apply
from reconciler.operations.consent import Consent
from reconciler.operations.destroy import propose_destroy
from reconciler.operations.images import ImagePolicy
from reconciler.operations.plan import plan
from reconciler.operations.session import Session
from reconciler.slots.context import Context
from reconciler.spec import load_spec
from reconciler.targets import Target
from reconciler.testing.scripted import ScriptedRuntime
from reconciler.testing.virtual_time import VirtualClock
from tests.support.faults import InProcess

TOKEN = "engine-token"
NO_IMAGES = ImagePolicy(mode=Resolve.NEVER)
TARGET = Target(
    name="t", base_url="http://127.0.0.1", logs_url="http://127.0.0.1", token=None, is_paced=False, log_delay_s=0
)


def task_spec(command: str = "[exit, '0']", *, count: str = "2", extra: str = "", name: str = "work") -> Spec:
    """A stack with one task; `extra` is more YAML for the pool, already indented by 8."""
    return app_spec(f"    tasks:\n      {name}:\n        command: {command}\n        count: {count}\n{extra}")


def app_spec(members: str) -> Spec:
    """The spec of `app_text`."""
    return spec_of(app_text(members))


def app_text(members: str) -> str:
    """A stack with one app, as a file has it; `members` are its tasks and services, indented by 4."""
    return "version: 1\nname: stack\napps:\n  app:\n    image: registry.example/app:1\n" + members.removeprefix("\n")


def spec_of(text: str) -> Spec:
    return load_spec(text, file="machines.yaml", environment={})


CHECKED = app_spec(
    """
    services:
      web:
        command: [run, '1000000000']
        count: 2
        checks: {alive: {type: tcp, port: 8080, interval: 10s, timeout: 2s, grace_period: 1s}}
"""
)


@dataclass
class World:
    engine: Engine
    runtime: ScriptedRuntime
    transport: InProcess
    context: Context
    said: list[str] = field(default_factory=list)
    bugs: list[Exception] = field(default_factory=list)
    trace: list[TraceEntry] = field(default_factory=list)

    @property
    def session(self) -> Session:
        return Session(context=self.context, target=TARGET, environment={})

    async def plan(self, spec: Spec, **options: Any) -> Plan:
        """Plans; `options` are those of operations.plan."""
        found, _looked_up = await plan(self.session, spec, images=NO_IMAGES, **{"allow_rollback": False, **options})
        return found

    async def apply(
        self,
        spec: Spec,
        *,
        allow_destroy: int = 1000,
        adopt: bool = False,
        prune_clones: bool = False,
        allow_rollback: bool = False,
        wait_busy_s: float | None = None,
        **options: Any,
    ) -> Report:
        """Plans and applies; `options` are those of apply.Options, and `stop` and `on_end`."""
        around = {key: options.pop(key) for key in ("stop", "on_end") if key in options}
        consent = Consent(
            allow_destroy=allow_destroy, adopt=adopt, prune_clones=prune_clones, allow_rollback=allow_rollback
        )
        proposal = await propose_apply(self.session, spec, consent, Options(**options), images=NO_IMAGES)
        return await carry_out(self.session, proposal, wait_busy_s=wait_busy_s, **around)

    async def destroy(self, spec: Spec, *, wait_busy_s: float | None = None, **options: Any) -> Report:
        """Removes all machines of the stack; `options` are those of operations.propose_destroy."""
        proposal = await propose_destroy(self.session, spec, **options)
        return await carry_out(self.session, proposal, wait_busy_s=wait_busy_s)

    async def invoke(self, spec: Spec, **options: Any) -> Run:
        pool = spec.tasks[0]
        return await invoke(self.context, pool, stack=spec.stack, options=InvokeOptions(**options))

    def add_volumes(self, *names: str, app: str = "app") -> None:
        """Volumes of these ids, for machines to mount."""
        for name in names:
            volume = Volume(id=name, app=app, name="data", region="iad", size_gb=1, created_ms=0, updated_ms=0)
            self.engine.store.volumes.put(name, volume)

    def machines(self, app: str = "app") -> list[EngineMachine]:
        """The live machines, by name, as the engine itself has them."""
        found = [machine for machine in self.engine.store.machines(app) if not machine.is_destroyed]
        return sorted(found, key=lambda machine: machine.name)

    def assert_unique_names(self) -> None:
        names = [machine.name for machine in self.machines()]
        assert len(names) == len(set(names)), names


@asynccontextmanager
async def open_world(settings: Settings | None = None, *, paced: bool = False) -> AsyncIterator[World]:
    """A world with an empty engine, and a client that keeps to the documented rates where it is `paced`; to be opened
    on a virtual loop.
    """
    clock, runtime = VirtualClock(), ScriptedRuntime()
    engine = Engine(database=":memory:", runtime=runtime, clock=clock, settings=settings)
    await engine.start()
    transport = InProcess(engine, TOKEN)
    said: list[str] = []
    bugs: list[Exception] = []
    trace: list[TraceEntry] = []
    client = MachinesClient(
        base_url="http://127.0.0.1",
        token=Secret(TOKEN),
        clock=clock,
        transport=transport,
        paced=paced,
        trace=trace.append,
        rate_patience_s=60,
    )
    context = Context(client=client, clock=clock, who="tester", emit=said.append, debug=bugs.append)
    try:
        yield World(
            engine=engine, runtime=runtime, transport=transport, context=context, said=said, bugs=bugs, trace=trace
        )
    finally:
        await client.aclose()
        await engine.close()
    assert not transport.unguarded
