"""A whole world in process: an engine on virtual time, a client of it, and specs to apply to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from reconciler.apply.options import Options
from reconciler.apply.retry_deferred import apply_patiently
from reconciler.engine.engine import Engine
from reconciler.engine.faults.settings import Settings
from reconciler.engine.models import Machine as EngineMachine
from reconciler.engine.models import Volume
from reconciler.invoke.invoke import InvokeOptions, invoke
from reconciler.machines_api.client import MachinesClient
from reconciler.machines_api.observe import observe
from reconciler.machines_api.transport import TraceEntry
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.model.run import Run
from reconciler.model.secret import Secret
from reconciler.model.spec import Spec
from reconciler.planner.planner import plan as make_plan
from reconciler.slots.context import Context
from reconciler.spec import load_spec
from reconciler.testing.scripted import ScriptedRuntime
from reconciler.testing.virtual_time import VirtualClock
from tests.support.faults import InProcess

TOKEN = "engine-token"


def task_spec(command: str = "[exit, '0']", *, count: str = "2", extra: str = "", name: str = "work") -> Spec:
    """A stack with one task; `extra` is more YAML for the pool, already indented by 8."""
    return spec_of(
        f"""
version: 1
name: stack
apps:
  app:
    image: registry.example/app:1
    tasks:
      {name}:
        command: {command}
        count: {count}
{extra}"""
    )


def spec_of(text: str) -> Spec:
    return load_spec(text, file="machines.yaml", environment={})


@dataclass
class World:
    engine: Engine
    runtime: ScriptedRuntime
    transport: InProcess
    context: Context
    said: list[str] = field(default_factory=list)
    bugs: list[Exception] = field(default_factory=list)
    trace: list[TraceEntry] = field(default_factory=list)

    async def plan(self, spec: Spec, **options: Any) -> Plan:
        observed = await observe(self.context.client, [app.name for app in spec.apps], clock=self.context.clock)
        return make_plan(spec, observed, **options)

    async def apply(
        self,
        spec: Spec,
        *,
        allow_destroy: int = 1000,
        adopt: bool = False,
        wait_busy_s: float | None = None,
        **options: Any,
    ) -> Report:
        """Plans and applies; `options` are those of apply.Options, and `stop` and `on_end`."""
        around = {key: options.pop(key) for key in ("stop", "on_end") if key in options}
        how = Options(**options)
        plan_again = partial(
            make_plan,
            spec,
            allow_destroy=allow_destroy,
            revision=how.revision,
            allow_rollback=how.allow_rollback,
            adopt=adopt,
        )
        seen = await observe(self.context.client, [app.name for app in spec.apps], clock=self.context.clock)
        around["observed"] = seen
        return await apply_patiently(
            self.context, spec, plan_again(seen), plan_again, how, wait_busy_s=wait_busy_s, **around
        )

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
