"""A plan without a revision has a warning, but not on the local engine, which is one user's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler import AsyncStack
from reconciler.model.secret import Secret
from tests.support.world import TARGET, TOKEN, World, task_spec


@pytest.mark.parametrize(("target", "is_told"), [("local", False), ("fly", True)])
async def test_a_missing_revision_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: str, is_told: bool
) -> None:
    async def call(work: Callable[..., Any], *arguments: Any) -> Any:  # on virtual time no thread's end is seen
        return work(*arguments)

    monkeypatch.setattr("asyncio.to_thread", call)
    monkeypatch.chdir(tmp_path)  # which is in no git repository
    where = replace(TARGET, name=target, token=Secret(TOKEN))
    environment = {"RECONCILER_RESOLVE": "never"}
    async with AsyncStack(
        task_spec(), target=where, environment=environment, clock=world.context.clock, transport=world.transport
    ) as stack:
        assert any("no revision" in told for told in (await stack.plan()).warnings) is is_told
