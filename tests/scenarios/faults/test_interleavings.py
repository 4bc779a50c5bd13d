"""Random interleavings of invokes, applies, crashes and clock jumps: one run for each claim, and each its own."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.engine.faults.settings import Latency, Settings
from reconciler.errors import ReconcilerError
from reconciler.invoke import key_room
from reconciler.invoke.invoke import InvokeOptions, invoke
from reconciler.invoke.runs import list_runs
from reconciler.machines_api.client import MachinesClient
from reconciler.model.report import Report
from reconciler.model.run import Run, RunState
from reconciler.model.run_policy import Override
from reconciler.model.secret import Secret
from reconciler.model.spec import Spec
from reconciler.slots.context import Context
from reconciler.testing.virtual_time import VirtualClock, run_virtually
from tests.support.faults import DeadError, without_events
from tests.support.side_by_side import applying, destroying, person
from tests.support.world import TOKEN, World, open_world, task_spec

pytestmark = pytest.mark.slow

SLOW = Latency(prepare_s=2.0, replace_s=1.5, start_s=0.5, exit_s=0.6, reap_s=0.4)


@dataclass(frozen=True)
class Deed:
    """Someone does something `at` a time; a crash comes at so many requests, a jump of the clock at so many seconds.

    One that `is_blind` is told of no start, and one that is hasty waits for its own for five seconds only.
    """

    at: float
    who: int
    is_apply: bool
    has_key: bool
    crash_at: int | None
    jump_at: float
    jump_s: float
    is_hasty: bool
    is_blind: bool

    @property
    def is_plain(self) -> bool:
        """Whether it neither dies nor loses its lease by the clock: then it leaves nothing half done."""
        return self.crash_at is None and self.jump_s == 0


DEEDS = st.lists(
    st.builds(
        Deed,
        at=st.floats(0, 60),
        who=st.integers(0, 3),
        is_apply=st.sampled_from([False, False, False, True]),
        has_key=st.booleans(),
        crash_at=st.one_of(st.none(), st.integers(0, 25)),
        jump_at=st.floats(0, 90),
        jump_s=st.sampled_from([0.0, 0.0, 40.0, -40.0, 7200.0, -7200.0]),
        is_hasty=st.sampled_from([False, False, True]),
        is_blind=st.sampled_from([False, False, False, True]),
    ),
    min_size=2,
    max_size=9,
)


class JumpingClock(VirtualClock):
    """A wall clock that somebody sets."""

    def __init__(self, at: float, by_s: float) -> None:
        super().__init__()
        self._at = at
        self._by = timedelta(seconds=by_s)

    def now(self) -> datetime:
        return super().now() + (self._by if self.monotonic() >= self._at else timedelta())


class Mortal(httpx.AsyncBaseTransport):
    """A transport whose process dies instead of sending its last request. One that `is_blind` sees no start event."""

    def __init__(self, inner: httpx.AsyncBaseTransport, left: int | None, *, is_blind: bool) -> None:
        self._inner = inner
        self._left = left
        self._hidden = {"start"} if is_blind else set[str]()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise DeadError
        return await without_events(await self._inner.handle_async_request(request), self._hidden)


def spec(revision: int) -> Spec:
    extra = f"        args: [exit, '0']\n        overrides: {{args: true}}\n        env: {{REVISION: '{revision}'}}\n"
    return task_spec("[run, '4']", count="2", extra=extra)


def marker(deed: Deed, number: int) -> str:
    """The exit code by which a run is known: of the key, or of the deed."""
    return str(100 + deed.who if deed.has_key else 200 + number)


async def act(world: World, deed: Deed, number: int) -> Run | None:
    await world.context.clock.sleep(deed.at)
    clock = JumpingClock(deed.at + deed.jump_at, deed.jump_s)
    client = MachinesClient(
        base_url="http://127.0.0.1",
        token=Secret(TOKEN),
        clock=clock,
        transport=Mortal(world.transport, deed.crash_at, is_blind=deed.is_blind and not deed.is_apply),
        rate_patience_s=60,
    )
    context = Context(client=client, clock=clock, who=f"process {number}")
    with suppress(ReconcilerError, DeadError, BaseExceptionGroup):
        if deed.is_apply:
            await World(engine=world.engine, runtime=world.runtime, transport=world.transport, context=context).apply(
                spec(deed.who)
            )
            return None
        options = InvokeOptions(
            queue_timeout_s=900.0,
            start_timeout_s=5.0 if deed.is_hasty or deed.is_blind else 60.0,
            key=f"key {deed.who}" if deed.has_key else None,
            override=Override(args=("exit", marker(deed, number))),
        )
        [pool] = spec(0).tasks
        return await invoke(context, pool, stack="stack", options=options)
    return None


@given(
    deeds=DEEDS,
    seed=st.integers(0, 2**16),
    is_slow=st.booleans(),
    keys=st.sampled_from([40, 1, 2]),
    settling=st.sampled_from([0.0, 0.5]),
    overtaken=st.sampled_from([0.0, 0.3]),
)
@settings(max_examples=70)
def test_each_claim_is_one_run_and_each_run_its_own(
    deeds: list[Deed], seed: int, is_slow: bool, keys: int, settling: float, overtaken: float
) -> None:
    """With room for a key or two, most of them are remembered by their fingerprints alone. That `settling` share of the
    starts is refused, as if the machines were still being prepared, and that `overtaken` share of the updates, as if
    someone else's had come before.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_room, "MAX_KEYS", keys)
        patch.setattr(key_room, "_LEAST_KEYS", 0)
        play(deeds, seed, is_slow=is_slow, settling=settling, overtaken=overtaken)


def play(deeds: list[Deed], seed: int, *, is_slow: bool, settling: float, overtaken: float) -> None:
    async def scenario() -> None:
        async with open_world(Settings(latency=SLOW if is_slow else Latency())) as world:
            random.seed(seed)
            await world.apply(spec(0))
            await world.context.clock.sleep(10)
            if settling:
                world.engine.faults.add("not_startable", calls=("start",), share=settling, times=-1)
            if overtaken:
                world.engine.faults.add("concurrent_replace", calls=("update",), share=overtaken, times=-1)
            runs = await asyncio.gather(*(act(world, deed, number) for number, deed in enumerate(deeds)))
            await world.context.clock.sleep(200)
            assert world.runtime.most_at_once_on_a_machine <= 1
            began = [launch.commands[0].words[-1] for launch in world.runtime.starts]
            for number, deed in enumerate(deeds):
                if not deed.is_apply:
                    assert began.count(marker(deed, number)) <= 1, (marker(deed, number), began)
            for number, (deed, run) in enumerate(zip(deeds, runs, strict=True)):
                if run is not None and run.outcome.task_code is not None:
                    assert str(run.outcome.task_code) == marker(deed, number)
                    assert began.count(marker(deed, number)) == 1
                if run is not None and run.outcome.exit_code in {120, 121} and not deed.has_key:
                    assert began.count(marker(deed, number)) == 0, run
            if all(deed.is_plain for deed in deeds):
                told = await list_runs(world.context, "app", stack="stack")
                assert not [run.info for run in told if run.info.state is RunState.NOT_STARTED]
            world.transport.relent()
            # Whatever was left half done: the next run is the task's own, and the next apply leaves nothing to do.
            assert (await world.invoke(spec(0), queue_timeout_s=900.0)).outcome.exit_code in {0, 125}
            assert (await world.apply(spec(1))).is_success
            assert not (await world.plan(spec(1))).has_changes
            assert all("reconciler_override" not in machine.config["metadata"] for machine in world.machines())

    run_virtually(scenario())


@dataclass(frozen=True)
class Work:
    """Someone applies, or destroys, and may die at so many requests."""

    at: float
    revision: int
    is_destroy: bool
    crash_at: int | None


WORKS = st.lists(
    st.builds(
        Work,
        at=st.floats(0, 8),
        revision=st.integers(0, 2),
        is_destroy=st.sampled_from([False, False, False, True]),
        crash_at=st.one_of(st.none(), st.none(), st.integers(0, 25)),
    ),
    min_size=2,
    max_size=5,
)


async def reported(world: World, work: Work, number: int) -> Report | None:
    """The report; None where it was refused, or its process died."""
    await world.context.clock.sleep(work.at)
    mortal = person(world, f"process {number}", Mortal(world.transport, work.crash_at, is_blind=False))
    deed = destroying(spec(0)) if work.is_destroy else applying(spec(work.revision))
    with suppress(ReconcilerError, DeadError, BaseExceptionGroup):
        return await deed(mortal)
    return None


@given(works=WORKS, seed=st.integers(0, 2**16), is_slow=st.booleans(), propagate_s=st.sampled_from([0.0, 3.0]))
@settings(max_examples=35)
def test_applies_and_destroys_at_once_double_nothing_and_say_what_is_true(
    works: list[Work], seed: int, is_slow: bool, propagate_s: float
) -> None:
    """On a new app. Where all want the same, and nobody dies, all end well."""

    async def scenario() -> None:
        latency = replace(SLOW if is_slow else Latency(), propagate_s=propagate_s)
        async with open_world(Settings(latency=latency)) as world:
            random.seed(seed)
            world.transport.before = lambda _request: world.assert_unique_names()
            reports = await asyncio.gather(*(reported(world, work, number) for number, work in enumerate(works)))
            if (
                len({(work.revision, work.is_destroy, work.crash_at) for work in works}) == 1
                and works[0].crash_at is None
            ):
                assert all(report and report.is_success for report in reports), reports
            await world.context.clock.sleep(200)
            assert (await world.apply(spec(1))).is_success
            assert not (await world.plan(spec(1))).has_changes
            assert len(world.machines()) == 2
            assert world.runtime.starts == []

    run_virtually(scenario())
