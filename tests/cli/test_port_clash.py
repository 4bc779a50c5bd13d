"""An apply of a service whose machines all want one port of this host: it ends at the first crash, and says why."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.shell import Shell

pytestmark = pytest.mark.slow

SPEC = """
version: 1
name: ports
apps:
  app:
    image: not-used:1
    services:
      web: {command: [python3, -m, http.server, '%s'], count: 2}
"""


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell("engine", "stop")


def test_the_second_machine_on_a_port_fails_with_the_name_of_the_first(shell: Shell) -> None:
    port = free_port()
    (shell.directory / "machines.yaml").write_text(SPEC % port)
    report = json.loads(shell("apply", "--yes", "-o", "json", code=1).stdout)
    assert not report["success"]
    crashed = [entry["unhealthy"]["log"][-1] for entry in report["entries"] if entry["unhealthy"]]
    assert crashed
    assert f"port {port} is in use by machine web-iad-" in crashed[0]
    assert "listen on $PORT, which is each machine's own" in crashed[0]
