"""A plan of the target as it is now, app by app as they are seen, while the tags of the spec's images are looked up.

Many apps that were as declared at an earlier plan are looked at by their organisations' lists first: those pages may be
far fewer than the apps. An app that does not prove to be as it was is listed by itself, so that whatever a plan says of
it rests on that.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.cli import saved_plan
from reconciler.cli.images import Imaging, look_up
from reconciler.cli.ui.options import Shared
from reconciler.machines_api.observe import observe_each
from reconciler.machines_api.regions import check_regions
from reconciler.model.machine import Machine, ObservedApp
from reconciler.model.plan import Plan
from reconciler.model.spec import App, Spec
from reconciler.planner.images import with_applied_digests_of, with_digests
from reconciler.planner.plan_cache import KnownMachines, known_of, recognized
from reconciler.planner.planner import Planner

if TYPE_CHECKING:
    from reconciler.cli.plan_memory import PlanMemory
    from reconciler.machines_api.client import MachinesClient
    from reconciler.slots.context import Context
    from reconciler.targets import Target

MANY: Final = 20  # apps; fewer are listed in two rounds of ten at once, and one list saves nothing that is felt
# Apps are listed ten at once, pages come one after the other, the first three at once and then one each second.
_APPS_A_PAGE: Final = 4
_FIRST_PAGES: Final = 3
_APPS_A_SECOND: Final = 50

_Looked = tuple[Mapping[str, str], tuple[str, ...]]


async def plan_pinned(
    context: "Context",
    spec: Spec,
    options: Shared,
    target: "Target",
    imaging: Imaging,
    planner: Planner,
    *,
    memory_file: Path | None = None,
) -> tuple[Plan, Mapping[str, str]]:
    """The plan, and the digests that were looked up; no snapshot is kept. `memory_file` is where plans of this stack
    remember what was as declared.

    Raises ApiError, RegistryError, BuildError, SpecError.
    """
    at = context.clock.now()
    looking = asyncio.create_task(look_up(spec, options, target, imaging))
    apps = _Apps(spec, planner, looking, at, is_learning=memory_file is not None)
    try:
        if memory_file is None:
            await observe_each(context.client, apps.names, apps.take)
        else:
            await _plan_remembering(context.client, apps, memory_file)
        unlisted = await check_regions(context.client, spec, apps.regions, only=options.only)
        digests, warnings = await looking
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)  # a build has ended; a second error is not told
    return planner.plan(apps.names, observed_at=at, warnings=(*spec.warnings, *unlisted, *warnings)), digests


class _Apps:
    """The spec's apps, planned as they are seen. Where it is learning, `known` is what was as declared, by app."""

    def __init__(
        self, spec: Spec, planner: Planner, looking: "asyncio.Task[_Looked]", at: datetime, *, is_learning: bool
    ) -> None:
        self.spec = spec
        self._at = at
        self.names = [app.name for app in spec.apps]
        self.known: dict[str, KnownMachines] = {}
        self.regions: set[str] = set()  # of all machines that were seen
        self._is_learning = is_learning
        self._planner = planner
        self._looking = looking
        self._pinned: dict[str, App] = {}

    async def take(self, observed: ObservedApp) -> None:
        """Plans an app that was listed."""
        app = await self._app(observed)
        is_as_declared = self._planner.add(app, observed, self._at)
        if self._is_learning and is_as_declared:
            self.known[app.name] = known_of(app, observed)

    async def recognize(self, name: str, machines: tuple[Machine, ...], known: KnownMachines) -> None:
        """Plans an app of which an overview was seen, if it still proves to be as declared; else it is not `known`."""
        app = await self._app(ObservedApp(name=name, exists=True, machines=machines))
        whole = recognized(app, machines, known, self._at)
        if whole is not None and self._planner.add(app, whole, self._at):
            self.known[name] = known

    async def _app(self, observed: ObservedApp) -> App:
        """The app with the digests of its images: those of its tags, else those that were applied."""
        self.regions.update(machine.region for machine in observed.machines)
        if not self._pinned:
            digests, _warnings = await asyncio.shield(self._looking)
            self._pinned = {app.name: app for app in with_digests(self.spec, digests).apps}
        return with_applied_digests_of(self._pinned[observed.name], observed, stack=self.spec.stack)


async def _plan_remembering(client: "MachinesClient", apps: _Apps, file: Path) -> None:
    """Plans the apps, by the organisations' lists where that is fewer calls, and remembers for the next time."""
    from reconciler.cli.plan_memory import PlanMemory, recall, remember

    version = saved_plan.tool_version()
    memory = recall(file, version=version)
    pages = await _recognize(client, apps, memory)
    unknown = [name for name in apps.names if name not in apps.known]
    await observe_each(client, unknown, apps.take)
    remember(file, PlanMemory(apps=apps.known, pages=pages), version=version)


async def _recognize(client: "MachinesClient", apps: _Apps, memory: "PlanMemory") -> int | None:
    """Plans what can be planned by the organisations' lists. Their pages; None where they were not asked for.

    A failure counts as too many pages, so that the next plan does without, and the one after it tries again.
    """
    known = {app.name: memory.apps[app.name] for app in apps.spec.apps if memory.apps.get(app.name)}
    most = min(len(known) // _APPS_A_PAGE, _FIRST_PAGES + len(known) // _APPS_A_SECOND)
    if len(known) < MANY or (memory.pages or 0) > most:
        return None
    from reconciler.machines_api.organization import overview

    orgs = [app.org for app in apps.spec.apps if app.name in known]
    seen = await overview(client, known, orgs, most_pages=most)
    if seen.machines is None:
        return most + 1
    for name, machines in seen.machines.items():
        await apps.recognize(name, machines, known[name])
    return seen.pages
