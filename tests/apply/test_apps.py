"""Apps that an apply has to create: side by side, each before its own machines, and a failure of one is its own."""

from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model.report import Status
from tests.support.world import World, spec_of

TWO = spec_of(
    """
version: 1
name: stack
apps:
  first: {image: registry.example/a:1, tasks: {work: {command: [exit, '0'], count: 2}}}
  second: {image: registry.example/a:1, tasks: {work: {command: [exit, '0'], count: 2}}}
"""
)


class Creations:
    """Stands in for the client's create_app: waits, or refuses, by the app's name."""

    def __init__(self, world: World, *, after_s: dict[str, float], refused: tuple[str, ...] = ()) -> None:
        self._create = world.context.client.apps.create
        self._clock = world.context.clock
        self._after_s = after_s
        self._refused = refused
        world.context.client.apps.create = self.create_app  # type: ignore[method-assign]

    async def create_app(self, app: str, *, org: str) -> None:
        await self._clock.sleep(self._after_s.get(app, 0.0))
        if app in self._refused:
            raise ApiError(f"create app {app}: 403 no", kind=ApiErrorKind.FORBIDDEN, status=403)
        await self._create(app, org=org)


async def test_a_machine_is_made_once_its_own_app_is_there_and_not_later(world: World) -> None:
    Creations(world, after_s={"second": 30.0})
    created: dict[str, float] = {}
    world.transport.before = lambda request: (
        created.setdefault(request.url.path.split("/")[3], world.context.clock.monotonic())
        if request.method == "POST" and request.url.path.endswith("/machines")
        else None
    )
    assert (await world.apply(TWO)).is_success
    assert created["first"] < 1
    assert created["second"] >= 30


async def test_an_app_that_cannot_be_created_fails_alone(world: World) -> None:
    Creations(world, after_s={"second": 5.0}, refused=("second",))
    report = await world.apply(TWO)
    assert not report.is_success
    assert report.apps_created == ("first",)
    assert report.failures == ("app second could not be created: create app second: 403 no",)
    ended = {entry.address: entry.status for entry in report.entries}
    assert ended["first/work-iad-0"] is ended["first/work-iad-1"] is Status.DONE
    assert ended["second/work-iad-0"] is ended["second/work-iad-1"] is Status.SKIPPED
    assert not any(request.startswith("POST /apps/second/machines") for request in world.transport.requests)


async def test_an_app_that_another_apply_made_a_moment_before_is_used(world: World) -> None:
    create = world.context.client.apps.create

    async def meddled(app: str, *, org: str) -> None:
        await create(app, org=org)
        await create(app, org=org)  # 422: the name is taken

    world.context.client.apps.create = meddled  # type: ignore[method-assign]
    report = await world.apply(TWO)
    assert report.is_success
    assert report.apps_created == ("first", "second")
