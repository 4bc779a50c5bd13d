"""What is equal for all machines of a pool is found once, however many there are: counted, not timed."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.canonical import digest
from reconciler.canonical.digest import digest_of, section_digests
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Machine, MachineState, Observed, ObservedApp
from reconciler.model.plan import Plan
from reconciler.model.spec import Spec
from reconciler.planner import diff, holders, leader_slot
from reconciler.planner.planner import plan
from tests.support.world import app_spec


def task(count: int, *, tag: str = "1") -> Spec:
    text = f"    tasks: {{work: {{image: 'registry.example/app:{tag}', command: [run], count: {count}}}}}"
    return app_spec(text)


def applied(spec: Spec, **more: str) -> Observed:
    """The machines of the spec's only pool, as they are after its apply, with `more` marks."""
    pool = spec.pools[0]
    told = {
        marks.STACK: spec.stack,
        marks.POOL: pool.name,
        marks.KIND: pool.kind.value,
        marks.APPLIED: digest_of(pool.config),
        marks.FIELDS: section_digests(pool.config),
        marks.ANCHOR: pool.slots[0].name,
        **more,
    }
    machines = tuple(
        Machine(
            app="app",
            id=slot.name,
            name=slot.name,
            state=MachineState.STOPPED,
            region=slot.region,
            version="1",
            config=pool.config.with_metadata(told | {marks.SLOT: slot.name}),
        )
        for slot in pool.slots
    )
    return Observed(apps={"app": ObservedApp(name="app", exists=True, machines=machines)}, at=datetime.now(UTC))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a config was brought to canonical form, something hashed, and a successor looked for."""
    found: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        real: Callable[..., Any] = getattr(module, name)

        def counted(*given: Any, **named: Any) -> Any:
            found[name] += 1
            return real(*given, **named)

        monkeypatch.setattr(module, name, counted)

    for module in (digest, diff):
        count(module, "canonical")
    count(digest, "_hash")
    count(leader_slot, "successor_of")
    return found


def counted(calls: Counter[str], spec: Spec, observed: Observed) -> tuple[Plan, Counter[str]]:
    calls.clear()
    made = plan(spec, observed)
    len(made.bookkeeping)
    return made, Counter(calls)


def test_of_machines_as_declared_nothing_is_found_for_each(calls: Counter[str]) -> None:
    (few, for_few), (many, for_many) = (counted(calls, task(count), applied(task(count))) for count in (20, 200))
    assert not few.effective
    assert not many.effective
    assert for_many == for_few
    assert for_few["canonical"] == 3  # of a config without members, of what is declared, of what is live


def test_each_machine_is_asked_once_whether_it_takes_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[MachineConfig | None] = []

    def takes_marks(config: MachineConfig | None) -> bool:
        asked.append(config)
        return True

    monkeypatch.setattr(holders, "takes_marks", takes_marks)
    made = plan(task(20), applied(task(20)))
    assert bool(made.bookkeeping)
    assert len(asked) == 20


@pytest.mark.parametrize("anchor", ["work-iad-0", ""], ids=["with an anchor", "without one"])
@pytest.mark.parametrize("want", [True, False], ids=["that wants what is declared", "that wants another config"])
def test_what_a_pool_declares_is_hashed_once_for_its_changes_and_its_marks(
    calls: Counter[str], anchor: str, want: bool
) -> None:
    spec = task(2)
    wanted = digest_of(spec.pools[0].config) if want else "2:another"
    made, found = counted(calls, spec, applied(spec, **{marks.ANCHOR: anchor, marks.WANT: wanted}))
    assert not made.effective
    assert bool(made.bookkeeping)  # the count, at least, was told by no mark
    assert found["canonical"] == 3


def test_what_a_pool_declares_is_hashed_once_for_its_changes_and_what_is_announced(calls: Counter[str]) -> None:
    spec, seen = task(1, tag="2"), applied(task(1))
    busy = replace(seen.apps["app"].machines[0], state=MachineState.STARTED)
    seen = replace(seen, apps={"app": replace(seen.apps["app"], machines=(busy,))})
    made, found = counted(calls, spec, seen)
    assert [one.desired_digest for one in made.announcements] == [digest_of(spec.pools[0].config)]
    assert found["canonical"] == 4  # and what is live, to bind the change to it


def test_the_config_of_a_pool_is_hashed_as_often_for_many_machines_as_for_few(calls: Counter[str]) -> None:
    hashed = []
    for count in (2, 50):
        made, found = counted(calls, task(count), applied(task(count)))
        assert (made.has_changes, len(made.changes)) == (False, count)
        hashed.append(found["_hash"])
    assert hashed[0] == hashed[1] > 0


def test_of_machines_that_get_another_image_only_what_they_are_is_hashed(calls: Counter[str]) -> None:
    """What each is now binds its update. The digests of its sections, and of what it had, are those of its pool."""
    (few, for_few), (many, for_many) = (
        counted(calls, task(count, tag="2"), applied(task(count))) for count in (20, 200)
    )
    assert len(few.effective) == 20
    assert len(many.effective) == 200
    more = for_many - for_few
    assert more["canonical"] == 180
    assert more["_hash"] == 3 * 180  # its config as it is, and the names of both images
    assert for_many["successor_of"] == for_few["successor_of"]


def test_the_successor_is_found_once_for_all_machines_that_go(calls: Counter[str]) -> None:
    (few, for_few), (many, for_many) = (counted(calls, task(count), applied(task(2 * count))) for count in (20, 200))
    assert len(few.effective) == 20
    assert len(many.effective) == 200
    assert for_many["successor_of"] == for_few["successor_of"]
