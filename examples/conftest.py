"""What the tests of each app have: an engine with the task's machines, which the app finds in its environment."""

from pathlib import Path

import pytest

from reconciler import Stack
from reconciler.testing import LiveEngine

SPEC = """
version: 1
name: on-demand
apps:
  on-demand:
    image: registry.fly.io/on-demand:latest
    tasks:
      get-release:
        command: [sh, -c, 'case $0 in acme/none) echo "no release of $0"; exit 3;; acme/big) %s;; esac; echo v1 of $0']
        args: [acme/shop]
        overrides: {args: true}
        count: 1
"""


@pytest.fixture
def machines(live_engine: LiveEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LiveEngine:
    """An engine on which the task is applied. A run for acme/big goes on until the test makes the file `go`."""
    environment = {**live_engine.environment, "RECONCILER_TARGET": live_engine.url, "RECONCILER_RESOLVE": "never"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    spec = tmp_path / "machines.yaml"
    spec.write_text(SPEC % f'until test -e "{tmp_path}/go"; do sleep 0.02; done')
    with Stack.from_file(spec) as stack:
        assert stack.apply(no_revision=True).is_success
    return live_engine


@pytest.fixture
def runs_started(machines: LiveEngine):
    """How many runs were started so far."""
    return lambda: sum(request.endswith("/start") for request in machines.requests)
