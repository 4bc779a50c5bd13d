"""Whatever JSON stands in an answer: no verb fails at it, none hangs, and a foreign machine is of no consequence."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.testing.virtual import VirtualEngine
from tests.support.command_line import CommandLine, Ended
from tests.support.odd_answers import GONE, RAW, OddAnswers, Oddity, path_in, with_junk

pytestmark = pytest.mark.slow

SPEC: Final = """
version: 1
name: stack
apps:
  app:
    image: i
    tasks:
      work: {command: [say, hello, run, '30', exit, '3'], count: 2, env: {A: '1'}, timeout: 10m}
      other: {command: [exit, '0']}
    services:
      web: {command: [say, up, run, '100000000'], ports: [80], checks: {alive: {port: 80}}}
"""
CHANGED: Final = SPEC.replace("'1'}", "'2'}").replace("count: 2", "count: 3").replace("other:", "third:")
FOREIGN: Final = {
    "name": "theirs",
    "config": {
        "image": "x",
        "metadata": {"a": "b"},
        "env": {"A": "1"},
        "init": {"cmd": ["run", "99999"]},
        "restart": {"policy": "always"},
        "services": [{"internal_port": 80, "ports": [{"port": 80}]}],
    },
}
ROOM: Final = "/platform/placements"  # a question that is sent by POST
OURS_BY_NAME: Final = ("work-iad-0", "work-iad-1", "other-iad-0", "web-iad-0")
READS: Final = {
    "plan": ["-f", "changed.yaml", "plan"],
    "plan as json": ["-f", "changed.yaml", "plan", "-o", "json"],
    "drift": ["drift"],
    "status": ["status"],
    "status as json": ["status", "-o", "json"],
    "runs": ["runs"],
    "runs as json": ["runs", "-o", "json"],
    "logs": ["logs", "work"],
    "logs of a service": ["logs", "web"],
    "wait": ["wait", "RUN"],
    "import": ["import", "app", *(f"--skip={name}" for name in OURS_BY_NAME)],
}
WRITES: Final = {
    "apply": ["-f", "changed.yaml", "apply", "--yes", "--allow-destroy", "9"],
    "destroy": ["destroy", "--yes", "--wait-busy", "2m"],
    "destroy by force": ["destroy", "--yes", "--force"],
    "invoke": ["invoke", "work", "--start-timeout", "20s"],
    "invoke with a key": ["invoke", "work", "--idempotency-key", "k", "--start-timeout", "20s"],
    "cancel": ["cancel", "RUNNING"],
    "unlock": ["unlock"],
}
OURS: Final = {0, 1}
OF_RUNS: Final = {3, 120, 121, 122, 124, 125}
WHOLE: Final = "GET /v1/apps/*/machines"
ODD: Final = st.sampled_from([None, 3, -1, 0, True, False, "", "x", [], {}, [1], [None], {"a": None}, 1.5, *RAW])
JUNK: Final = st.one_of(
    ODD,
    st.just(GONE),
    st.recursive(
        ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
)


@dataclass
class Place:
    """A stack with a run that has ended, one that goes on, and a machine of someone else."""

    engine: VirtualEngine
    odd: OddAnswers
    line: CommandLine
    runs: dict[str, str]

    def run(self, words: list[str]) -> Ended:
        self.requests_before, self.starts_before = len(self.engine.requests), len(self.lines)
        return self.line.run(*(self.runs.get(word, word) for word in words))

    @property
    def sent(self) -> list[str]:
        """What the last command has asked for."""
        return self.engine.requests[self.requests_before :]

    @property
    def lines(self) -> list[str]:
        return [line for line in self.engine.logs("app") if line == "hello"]

    @property
    def starts(self) -> int:
        """How many runs of the task have begun since the last command did."""
        return len(self.lines) - self.starts_before

    def machine(self, name: str) -> dict[str, Any]:
        [found] = [machine for machine in self.engine.machines("app") if machine["name"] == name]
        return found


@contextmanager
def a_place() -> Iterator[Place]:
    with VirtualEngine() as engine, TemporaryDirectory() as directory:
        (Path(directory) / "machines.yaml").write_text(SPEC)
        (Path(directory) / "changed.yaml").write_text(CHANGED)
        odd = OddAnswers(engine.transport)
        line = CommandLine(engine, odd, Path(directory))
        place = Place(engine, odd, line, {})
        assert place.run(["apply", "--yes"]).code == 0
        assert place.run(["invoke", "work"]).code == 3
        assert place.run(["invoke", "work", "--no-wait"]).code == 0
        assert engine.client().post("/apps/app/machines", json=FOREIGN).is_success
        engine.run(engine.wait_for_state("app", "theirs", "started"))
        told = json.loads(place.run(["runs", "-o", "json"]).out)["runs"]
        place.runs = {"RUNNING": told[0]["run"], "RUN": told[1]["run"]}
        yield place


@pytest.fixture(scope="module")
def seen() -> Iterator[Place]:
    """A place that is only looked at."""
    with a_place() as place:
        yield place


@cache
def requests_of(verb: str) -> int:
    """How many requests the verb makes where no answer is odd."""
    with a_place() as place:
        assert place.run(READS[verb] if verb in READS else WRITES[verb]).code in {0, 3}
        return len(place.sent)


def oddities(verb: str) -> st.SearchStrategy[Oddity]:
    return st.builds(
        Oddity,
        request=st.integers(0, requests_of(verb) - 1),
        place=st.integers(0, 1 << 40),
        junk=JUNK,
        times=st.sampled_from([1, 3]),
    )


def assert_ended_well(verb: str, ended: Ended) -> None:
    assert "unexpected" not in ended.err
    assert "Traceback" not in ended.err
    assert ended.code in (OF_RUNS if verb.startswith(("invoke", "wait")) else OURS)


@pytest.mark.parametrize("verb", READS)
def test_any_answer_is_read_or_not_understood(verb: str, seen: Place) -> None:
    @given(oddity=oddities(verb))
    @settings(max_examples=12)
    def holds(oddity: Oddity) -> None:
        seen.odd.strike(oddity)
        ended = seen.run(READS[verb])
        assert_ended_well(verb, ended)
        assert {request.split()[0] for request in seen.sent if not request.endswith(ROOM)} == {"GET"}

    holds()


@pytest.mark.parametrize("verb", WRITES)
def test_no_answer_makes_a_verb_fail_otherwise_than_it_says(verb: str) -> None:
    @given(oddity=oddities(verb))
    @settings(max_examples=6)
    def holds(oddity: Oddity) -> None:
        with a_place() as place:
            foreign = place.machine("theirs")
            place.odd.strike(oddity)
            assert_ended_well(verb, place.run(WRITES[verb]))
            assert place.machine("theirs") == foreign
            names = [machine["name"] for machine in place.engine.machines("app")]
            assert len(names) == len(set(names))
            assert place.starts <= verb.startswith("invoke")

    holds()


@given(place=st.integers(0, 1 << 40), junk=JUNK.filter(lambda junk: "@deep" not in str(junk)))
@settings(max_examples=10)
def test_a_foreign_machine_is_of_no_consequence(seen: Place, place: int, junk: Any) -> None:
    """Where its JSON can be read at all: what is nested thousands of times cannot."""
    seen.odd.change = in_a_list(lambda listed: [odd_member(one, place, junk) for one in listed])
    for verb in ("plan", "drift", "status", "runs", "wait"):
        assert seen.run(READS[verb]).code == (3 if verb == "wait" else 0)


@pytest.mark.parametrize(("verb", "code"), [("apply", 0), ("destroy by force", 0), ("invoke", 3), ("cancel", 0)])
@pytest.mark.parametrize("member", ["id", "name", "state", "region", "events", "config"])
def test_what_is_done_to_our_machines_is_done_beside_it(verb: str, code: int, member: str) -> None:
    with a_place() as place:
        place.odd.change = in_a_list(
            lambda listed: [one | {member: {"a": 1}} if one["name"] == "theirs" else one for one in listed]
        )
        ended = place.run(WRITES[verb])
        assert (ended.code, place.machine("theirs")["state"]) == (code, "started")


@pytest.mark.parametrize("junk", [None, 3, {}, {"id": "../../x", "name": []}])
def test_a_member_that_nothing_identifies_stops_what_needs_the_whole_list(seen: Place, junk: Any) -> None:
    seen.odd.change = in_a_list(lambda listed: [*listed, junk])
    for words in (READS["plan"], READS["drift"], WRITES["apply"], WRITES["destroy by force"]):
        ended = seen.run(words)
        assert ended.code == 1
        assert "app app lists 1 machine of which neither id, name nor marks are understood" in ended.out + ended.err
        assert {request.split()[0] for request in seen.sent} == {"GET"}
    for verb in ("status", "runs", "logs", "wait"):
        assert seen.run(READS[verb]).code == (3 if verb == "wait" else 0)
    assert "not understood" in seen.run(READS["status"]).out


def test_the_verbs_say_what_of_ours_is_not_understood_and_leave_it_alone() -> None:
    with a_place() as place:
        place.odd.change = in_a_list(
            lambda listed: [with_junk(one, ("id",), 3) if one["name"] == "work-iad-0" else one for one in listed]
        )
        words = "app/work-iad-0: not understood: invalid id of a machine in the platform's list"
        ended = place.run(["apply", "--yes"])
        assert (ended.code, words in ended.out) == (1, True)
        assert "1 not understood" in ended.out
        assert "Next: run `reconciler apply` again once all machines can be observed." in ended.out
        assert "host" not in ended.out
        ended = place.run(["wait", "work-iad-0/01KDVDPHK64BZ1K195V6JKDAFG"])
        assert (ended.code, "app/work-iad-0 is not understood: invalid id" in ended.err) == (125, True)
        assert "work-iad-0" in [machine["name"] for machine in place.engine.machines("app")]


def test_a_machine_that_is_listed_twice_is_one(seen: Place) -> None:
    seen.odd.change = in_a_list(lambda listed: [*listed, *listed])
    assert "No changes. 4 machines are as declared." in seen.run(["plan"]).out


def test_the_answer_about_another_machine_is_none() -> None:
    with a_place() as place:
        other = place.machine("theirs")
        place.odd.change = lambda request, value: other if request == f"{WHOLE}/*" else value
        ended = place.run(["-f", "changed.yaml", "apply", "--yes", "--allow-destroy", "9"])
        assert ended.code == 1
        assert "the answer is not understood: expected machine " in ended.out
        assert place.machine("theirs") == other


@pytest.mark.parametrize("member", ["events", "config", "region"])
def test_an_earlier_start_never_passes_for_the_runs_own(member: str) -> None:
    """The machine ran before: without a fence its first start would be taken, and the code of that run."""
    with a_place() as place:
        place.run(["cancel", "RUNNING"])
        place.engine.script("say hello run 30 exit 4", machine="work-*")
        struck = once(place.odd, f"{WHOLE}/*", lambda machine: machine | {member: 3})
        ended = place.run(["invoke", "work"])
        assert (ended.code, place.starts, len(struck)) == (4, 1, 1)


def test_an_event_that_is_not_understood_is_no_reason_to_start_again() -> None:
    with a_place() as place:
        place.engine.script("say hello exit 4", machine="work-*")
        known = {event["id"] for machine in place.engine.machines("app") for event in machine["events"]}

        def spoiled(events: list[Any]) -> list[Any]:
            return [event if event["id"] in known else event | {"type": 3} for event in events]

        def spoil(request: str, value: Any) -> Any:
            if request == f"{WHOLE}/*/events":
                return spoiled(value)
            return value | {"events": spoiled(value["events"])} if request == f"{WHOLE}/*" else value

        place.odd.change = spoil
        ended = place.run(["invoke", "work", "--start-timeout", "20s"])
        assert (ended.code, place.starts) == (122, 1)


def test_a_state_that_the_platform_does_not_have_is_no_earlier_start() -> None:
    with a_place() as place:
        struck = once(
            place.odd,
            f"POST {WHOLE.removeprefix('GET ')}/*/start",
            lambda reply: reply | {"previous_state": "pondering"},
        )
        assert (place.run(["invoke", "work"]).code, place.starts, len(struck)) == (3, 1, 1)


def test_a_run_is_stopped_though_its_start_has_left_the_machines_newest_events() -> None:
    with a_place() as place:
        place.odd.change = lambda request, value: value | {"events": []} if request == f"{WHOLE}/*" else value
        assert place.run(["cancel", "RUNNING"]).code == 0
        assert place.machine(place.runs["RUNNING"].partition("/")[0])["state"] == "stopped"


def in_a_list(change: Callable[[list[Any]], list[Any]]) -> Callable[[str, Any], Any]:
    """Changes the lists of the app's machines."""
    return lambda request, value: change(value) if request == WHOLE and isinstance(value, list) else value


def odd_member(machine: Any, place: int, junk: Any) -> Any:
    """The machine; if it is the foreign one, with the junk in the place of one of its members."""
    path = path_in(machine, place)
    return with_junk(machine, path, junk) if machine["name"] == "theirs" and path else machine


def once(odd: OddAnswers, request: str, change: Callable[[Any], Any]) -> list[Any]:
    """Changes the next answer to such a request; the list tells that it did."""
    struck: list[Any] = []

    def changed(asked: str, value: Any) -> Any:
        if asked != request or struck:
            return value
        struck.append(value)
        return change(value)

    odd.change = changed
    return struck
