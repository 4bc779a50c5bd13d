"""The probes of `engine conform`, in process against the engine of a world."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx

from reconciler.conformance.catalogue import PROBES
from reconciler.conformance.laboratory import Laboratory
from reconciler.conformance.new_app import NewApp
from reconciler.conformance.probe import Probe
from reconciler.conformance.runner import Stop, conform
from reconciler.machines_api.raw import RawApi
from reconciler.model.conformance import Conformance, ProbeResult, Verdict
from reconciler.model.secret import Secret
from reconciler.testing.scripted import ScriptedRuntime
from tests.support.world import TOKEN, World

# What the commands of the probes do, for a runtime that has no shell.
SCRIPTS = {
    "conform-long-*": ("stubborn", "run", "3600"),
    "conform-stubborn-*": ("stubborn", "run", "3600"),
    "conform-short-*": ("exit", "7"),
}


def teach(runtime: ScriptedRuntime) -> None:
    """Let the probes' machines do what their commands say."""
    for names, words in SCRIPTS.items():
        runtime.script(words, machine=names)


def named(*names: str) -> list[Probe]:
    """The probes of these names."""
    found = [probe for probe in PROBES if probe.name in names]
    assert len(found) == len(names)
    return found


class Examiner:
    """Examines the engine of a world, through `transport` or its own, on an app `probe`."""

    def __init__(self, world: World, transport: httpx.AsyncBaseTransport | None = None, *, paced: bool = False) -> None:
        teach(world.runtime)
        world.transport.allows_unguarded = True  # probes ask what such an update does
        self.world = world
        self.clock = world.context.clock
        self.api = RawApi(
            base_url="http://127.0.0.1",
            token=Secret(TOKEN),
            clock=self.clock,
            transport=transport or world.transport,
            paced=paced,
        )
        self.lab = Laboratory(self.api, self.clock, app="probe", region=None, image="busybox")
        self.app = NewApp(api=self.api, clock=self.clock, name="probe", org="personal")
        self.stop = Stop()

    async def examine(
        self, probes: Sequence[Probe] = PROBES, *, on_end: Callable[[ProbeResult], Any] = lambda _result: None
    ) -> Conformance:
        """What was found, after the name was checked as the command does."""
        await self.app.check_name()
        return await conform(self.lab, self.app, probes, self.stop, key=f"key-{id(self)}", on_end=on_end)

    @property
    def has_left_nothing(self) -> bool:
        """Whether the engine has no app, and nothing runs on it."""
        return not self.world.engine.store.apps and not any(self.world.runtime.running.values())


def differing(found: Conformance) -> set[str]:
    """The names of the probes that differ."""
    return {result.name for result in found.of(Verdict.DIFFERS)}
