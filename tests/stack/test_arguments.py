"""Arguments of the wrong type or value: refused by name before any call, by both faces of a stack."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler import AsyncStack, Stack
from reconciler.model.secret import Secret
from reconciler.targets import Target
from reconciler.testing.virtual_time import run_virtually
from tests.support.world import task_spec

SPEC = task_spec()
TARGET = Target(
    name="fly",
    base_url="http://127.0.0.1:1",
    logs_url="http://127.0.0.1:1",
    token=Secret("t"),
    is_paced=False,
    log_delay_s=0.0,
)
PLANS: list[tuple[Any, type[Exception], str]] = [
    (5, TypeError, "plan must be a Plan, a SavedPlan, the hash of a plan, or None, not int"),
    (0, TypeError, "not int"),
    ({}, TypeError, "not dict"),
    (False, TypeError, "not bool"),
    (b"sha256:", TypeError, "not bytes"),
    (Path("plan.json"), TypeError, "for a file use read_plan"),
    ("plan.json", ValueError, "for a file use read_plan"),
    ("", ValueError, "for a file use read_plan"),
    ("sha256:", ValueError, "no hash of a plan"),
    (f"sha256:{'0' * 63}", ValueError, "no hash of a plan"),
]


class NoCalls(httpx.AsyncBaseTransport):
    """Fails the test where anything is sent."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"{request.method} {request.url} was sent")


def refused(error: type[Exception], words: str, method: str, *values: Any, **arguments: Any) -> None:
    async def scenario() -> None:
        async with AsyncStack(SPEC, target=TARGET, environment={}, transport=NoCalls()) as stack:
            await getattr(stack, method)(*values, **arguments)

    with pytest.raises(error, match=re.escape(words)):
        run_virtually(scenario())
    with Stack(SPEC, target=TARGET, environment={}) as stack, pytest.raises(error, match=re.escape(words)):
        getattr(stack, method)(*values, **arguments)


@pytest.mark.parametrize(("plan", "error", "words"), PLANS, ids=repr)
def test_what_is_no_plan_is_not_applied(plan: Any, error: type[Exception], words: str) -> None:
    refused(error, words, "apply", plan)


PLANNED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"only": "work"}, TypeError, "only must be a list of the names of pools, not str"),
    ({"only": 5}, TypeError, "only must be a list of the names of pools, not int"),
    ({"only": [5]}, TypeError, "a name in only must be a string, not int"),
    ({"allow_destroy": -1}, ValueError, "allow_destroy must be 0 or more, not -1"),
    ({"allow_destroy": True}, TypeError, "allow_destroy must be a whole number, not bool"),
    ({"allow_destroy": "all"}, TypeError, "allow_destroy must be a whole number, not str"),
    ({"revision": "abc"}, TypeError, "revision must be a whole number, not str"),
    ({"revision": -1}, ValueError, "revision must be 0 or more, not -1"),
    ({"adopt": "no"}, TypeError, "adopt must be True or False, not str"),
    ({"prune_clones": 1}, TypeError, "prune_clones must be True or False, not int"),
]
APPLIED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"parallelism": 0}, ValueError, "parallelism must be 1 or more, at most 100, not 0"),
    ({"parallelism": 101}, ValueError, "at most 100, not 101"),
    ({"parallelism": 2.5}, TypeError, "parallelism must be a whole number, not float"),
    ({"lock_timeout_s": -1}, ValueError, "lock_timeout_s must be 0 or more seconds, not -1"),
    ({"lock_timeout": "soon"}, ValueError, "lock_timeout is 'soon': write it like 30s"),
    ({"lock_timeout": None}, TypeError, "lock_timeout must be a number of seconds, not NoneType"),
    ({"lock_timeout_s": float("inf")}, ValueError, "lock_timeout_s must be at most"),
    ({"allow_rollback": "no"}, TypeError, "allow_rollback must be True or False, not str"),
    ({"only_drift": 0}, TypeError, "only_drift must be True or False, not int"),
    ({"fail_fast": None}, TypeError, "fail_fast must be True or False, not NoneType"),
]
CARRIED_OUT: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"wait_busy_s": float("nan")}, ValueError, "wait_busy_s must be 0 or more seconds, not nan"),
    ({"wait_busy_s": float("inf")}, ValueError, "wait_busy_s must be at most"),
    ({"wait_busy": "10h", "wait_busy_s": 5}, TypeError, "pass `wait_busy` or `wait_busy_s`, not both"),
    ({"wait_busy_s": "10m"}, TypeError, "wait_busy_s must be a number of seconds, not str"),
    ({"on_end": 5}, TypeError, "on_end must be a function or None, not int"),
    ({"on_event": 5}, TypeError, "on_event must be a function or None, not int"),
]
CALLS = [
    *(("plan", *case) for case in PLANNED),
    *(("apply", *case) for case in (*PLANNED, *APPLIED, *CARRIED_OUT)),
    *(("destroy", *case) for case in (*PLANNED[:3], *CARRIED_OUT)),
    *(("release", *case) for case in (*PLANNED[:3], *CARRIED_OUT)),
    ("destroy", {"force": "no"}, TypeError, "force must be True or False, not str"),
    ("destroy", {"wait_busy": None}, TypeError, "wait_busy must be a number of seconds, not NoneType"),
    *(("drift", *case) for case in PLANNED[:3]),
    *(("build", *case) for case in PLANNED[:3]),
    ("build", {"builder": 5}, TypeError, "builder must be a string, not int"),
    ("build", {"builder": "kaniko"}, ValueError, "builder must be one of docker, podman, buildah, not 'kaniko'"),
    ("diff", {"old": "machines.yaml"}, TypeError, "old must be a Spec, not str; load_spec(file) reads one"),
    ("diff", {"old": SPEC, "only": "work"}, TypeError, "only must be a list of the names of pools, not str"),
]
MADE: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"spec": "machines.yaml"}, TypeError, "spec must be a Spec, not str; load_spec(file) reads one"),
    ({"spec": None}, TypeError, "spec must be a Spec, not NoneType"),
    ({"target": 5}, TypeError, "target must be a string, not int"),
    ({"token": b"t"}, TypeError, "token must be a string, not bytes"),
    ({"environment": ["A=1"]}, TypeError, "environment must be a map of names to strings, not list"),
    ({"emit": "print"}, TypeError, "emit must be a function or None, not str"),
    ({"lost_after_s": 0}, ValueError, "lost_after_s must be more than 0"),
    ({"lost_after_s": float("inf")}, ValueError, "lost_after_s must be more than 0 and at most"),
    ({"lost_after_s": "30m"}, TypeError, "lost_after_s must be a number of seconds, not str"),
]


@pytest.mark.parametrize(("method", "arguments", "error", "words"), CALLS, ids=repr)
def test_a_wrong_argument_is_refused_by_name(
    method: str, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    refused(error, words, method, **arguments)


def test_a_file_that_is_none_is_refused_before_the_plan() -> None:
    refused(TypeError, "not int", "save_plan", 5)


@pytest.mark.parametrize("face", [Stack, AsyncStack])
@pytest.mark.parametrize(("arguments", "error", "words"), MADE, ids=repr)
def test_a_stack_is_not_made_of_what_is_wrong(
    face: type, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=re.escape(words)):
        face(**{"spec": SPEC, "environment": {}, **arguments})


@pytest.mark.parametrize("face", [Stack, AsyncStack])
def test_none_is_no_callback(face: type) -> None:
    face(SPEC, emit=None, environment={})
