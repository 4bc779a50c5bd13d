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
