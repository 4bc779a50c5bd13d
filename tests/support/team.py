"""A team: its repository on GitHub, its workflow, and an engine in the place of Fly."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.testing.live import LiveEngine
from tests.support.github_api import GitHubApi
from tests.support.github_repository import Event, Pull, Repository
from tests.support.workflows import ROOT, Job, Runner, workflow

SPEC = """
version: 1
name: stack
apps:
  app:
    image: i:1
    env: {SECRET: canary-value}
    tasks:
      one: {command: ['true'], count: 2}
"""


@dataclass
class Team:
    """A team's repository, its workflow, and its machines."""

    repository: Repository
    api: GitHubApi
    engine: LiveEngine
    runner: Runner
    workflow: Mapping[Any, Any]

    def use(self, example: str) -> None:
        self.workflow = workflow(ROOT / "examples" / "github-actions" / example)

    def start(self, event: Event) -> dict[str, Job]:
        """The jobs that were not skipped."""
        return _run_of(self.runner.run(self.workflow, event))

    def run_failed_again(self, event: Event, jobs: Mapping[str, Job]) -> dict[str, Job]:
        """Run those jobs again that did not succeed: "Re-run failed jobs" of a run that the event started."""
        kept = {name: job for name, job in jobs.items() if job.result == "success"}
        return _run_of(self.runner.run(self.workflow, event, kept))

    def propose(self, spec: str = SPEC, **changes: Any) -> tuple[Pull, dict[str, Job]]:
        """Open a pull request with this spec, and run what that starts."""
        pull = self.repository.open({"machines.yaml": spec}, **changes)
        return pull, self.start(self.repository.event(pull, "opened"))

    def update_as_flyctl(self, app: str, name: str, **config: Any) -> None:
        """Change a machine's config without reconciler, by the API's update under a lease, as flyctl does."""
        [machine] = [one for one in self.engine.machines(app) if one["name"] == name]
        client, path = self.engine.client(), f"/apps/{app}/machines/{machine['id']}"
        lease = client.post(f"{path}/lease", json={"ttl": 30, "description": "flyctl"}).raise_for_status().json()
        held = {"fly-machine-lease-nonce": lease["data"]["nonce"]}
        body = {"config": machine["config"] | config, "skip_launch": True}
        client.post(path, json=body, headers=held).raise_for_status()
        client.delete(f"{path}/lease", headers=held).raise_for_status()


def _run_of(jobs: Mapping[str, Job]) -> dict[str, Job]:
    return {name: job for name, job in jobs.items() if job.result != "skipped"}
