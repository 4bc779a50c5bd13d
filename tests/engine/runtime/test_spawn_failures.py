"""A command that cannot start ends its machine with a shell's code and one line."""

from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.engine import Engine
from tests.support.real_processes import exit_of, output_of, run_once, wait_for, with_engine


@pytest.mark.parametrize(
    ("config", "code", "why"),
    [
        ({"init": {"exec": ["echo", "a\0b"]}}, 126, "null byte"),
        ({"init": {"exec": ["echo\0"]}}, 127, "no such command"),
        ({"env": {"A=B": "c"}}, 126, "illegal environment variable name"),
        ({"env": {"A": "b\0c"}}, 126, "null byte"),
        ({"init": {"exec": ["no-such-program"]}}, 127, "no such command"),
        ({"init": {"exec": ["/etc/passwd"]}}, 126, "Permission denied"),
        ({"init": {"exec": ["/etc"]}}, 126, "Permission denied"),
        ({"init": {"exec": ["/etc/passwd/x"]}}, 127, "Not a directory"),
        ({"init": {"exec": ["echo", "x" * 4_000_000]}}, 126, "too long"),
        ({"files": [{"guest_path": "/" + "x" * 300, "raw_value": ""}]}, 126, "name too long"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_spawned_ends_with_a_code_and_says_why(
    tmp_path: Path, config: dict[str, Any], code: int, why: str
) -> None:
    async def scenario(engine: Engine) -> None:
        machine = await run_once(engine, ["true"], **config)
        assert exit_of(machine)["exit_code"] == code
        [line] = output_of(engine, machine, "")
        assert why in line
        assert len(line) < 1000

    with_engine(tmp_path, scenario)


def test_a_machine_without_a_command_says_why_it_ended_and_what_to_do(tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        engine.create_app("app", "personal")
        machine = engine.create("app", {"config": {"image": "i", "restart": {"policy": "no"}}})
        await wait_for(engine, machine.id, "stopped", machine.events[0].id)
        await engine.watchers.until(machine.id, lambda: output_of(engine, machine, "") or None, 20)
        [line] = output_of(engine, machine, "")
        assert "no command" in line
        assert "--runtime container" in line

    with_engine(tmp_path, scenario)
