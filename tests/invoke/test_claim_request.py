"""Which machines are tried, in which order, and what a refusal of one machine says of the others."""

import random

import pytest
from msgspec.structs import replace

from reconciler.clock import SystemClock
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.invoke.claim_request import Claimant, candidates, objection, out_of_reach, refusal_of, turned_to
from reconciler.invoke.pool_cache import KnownPool
from reconciler.machines_api.client import MachinesClient
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.machine import HostStatus, Machine, MachineState
from reconciler.model.run import NeverStarted
from reconciler.model.run_policy import Override
from reconciler.slots.context import Context
from tests.support.world import task_spec

SPEC = task_spec(count="4")
S = MachineState


def machine(number: int, state: MachineState = S.STOPPED, *, policy: str = "") -> Machine:
    name = f"work-iad-{number}"
    metadata = {marks.STACK: "stack", marks.POOL: "work", marks.SLOT: name} | ({marks.TERMS: policy} if policy else {})
    return Machine(
        app="app",
        id=f"m{number}",
        name=name,
        state=state,
        region="iad",
        version="01",
        config=MachineConfig(document={"metadata": metadata}),
    )


def claimant(*machines: Machine, override: Override | None = None) -> Claimant:
    [pool] = SPEC.tasks
    known = KnownPool(app="app", pool="work", stack="stack")
    known.take(machines, began=0.0, now=0.1)
    client = MachinesClient(base_url="http://127.0.0.1", token=None, clock=SystemClock())
    context = Context(client=client, clock=SystemClock(), who="tester")
    return Claimant(
        context=context,
        stack="stack",
        pool=pool,
        known=known,
        start_timeout_s=60,
        rng=random.Random(0),
        override=override or Override(),
    )


def test_those_that_start_likeliest_are_tried_first() -> None:
    states = [S.FAILED, S.CREATED, S.STOPPED, S.SUSPENDED, S.STARTED, S.REPLACING]
    subject = claimant(*(machine(number, state) for number, state in enumerate(states)))
    assert [one.state for one in candidates(subject)] == [S.STOPPED, S.SUSPENDED, S.CREATED, S.FAILED]


def test_equals_are_tried_in_random_order() -> None:
    subject = claimant(*(machine(number) for number in range(4)))
    assert len({tuple(one.id for one in candidates(subject)) for _ in range(50)}) > 5


def test_a_machine_that_another_claimant_of_the_process_tries_is_no_candidate() -> None:
    subject = claimant(machine(0), machine(1))
    with subject.known.trying(machine(0)):
        assert [one.id for one in candidates(subject)] == ["m1"]
    assert len(candidates(subject)) == 2


def test_a_machine_whose_host_is_down_is_no_candidate() -> None:
    subject = claimant(machine(0), replace(machine(1), host_status=HostStatus.UNREACHABLE))
    assert [one.id for one in candidates(subject)] == ["m0"]


def test_a_waiter_goes_round_all_machines() -> None:
    machines = [machine(number) for number in range(3)]
    subject = claimant(*machines)
    found = [turned_to(machines, subject, rounds) for rounds in range(3)]
    assert {one.id for one in found if one} == {"m0", "m1", "m2"}
    assert turned_to([], subject, 0) is None


K = ApiErrorKind
SAYS = ("is_held", "is_settling", "is_broken", "is_final", "is_in_doubt", "needs_apply", "error")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (K.LEASE_HELD, "is_held"),
        (K.CONCURRENT_UPDATE, "is_held"),
        (K.STALE_VERSION, "is_held"),
        (K.SETTLING, "is_settling"),
        (K.CAPACITY, "is_broken"),
        (K.HOST_MAINTENANCE, "is_broken"),
        (K.IMAGE_NOT_READY, "is_broken"),
        (K.QUOTA, "is_final"),
        (K.BAD_INPUT, "is_final"),
        (K.UNREACHABLE, "error"),
        (K.RATE_LIMITED, "error"),
    ],
)
def test_what_an_error_says_of_one_machine(kind: ApiErrorKind, says: str) -> None:
    refusal = refusal_of(ApiError("why", kind=kind))
    said = [name for name in SAYS if getattr(refusal, name)]
    assert said == [says]


@pytest.mark.parametrize("kind", [K.UNAUTHORIZED, K.FORBIDDEN, K.REFUSED])
def test_an_error_that_is_not_of_one_machine_ends_the_invoke(kind: ApiErrorKind) -> None:
    with pytest.raises(ApiError):
        refusal_of(ApiError("why", kind=kind))


def test_a_pool_without_a_reachable_machine_is_not_waited_for() -> None:
    down = [replace(machine(number), host_status=HostStatus.UNREACHABLE) for number in range(2)]
    assert out_of_reach(claimant(down[0], machine(1))) is None
    unreachable, empty = out_of_reach(claimant(*down)), out_of_reach(claimant())
    assert unreachable is not None
    assert unreachable.cause is NeverStarted.HOST
    assert empty is not None
    assert empty.remedy == "run `reconciler apply` first: it makes them"


def test_what_was_applied_says_whether_a_run_may_have_its_own_args() -> None:
    wish = Override(args=("x",))
    refused = objection(claimant(machine(0), override=wish))
    assert refused is not None
    assert "not applied yet" in refused.message
    assert objection(claimant(machine(0))) is None
