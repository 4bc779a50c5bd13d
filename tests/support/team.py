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
        jobs = self.runner.run(self.workflow, event)
        return {name: job for name, job in jobs.items() if job.result != "skipped"}

    def propose(self, spec: str = SPEC, **changes: Any) -> tuple[Pull, dict[str, Job]]:
        """Open a pull request with this spec, and run what that starts."""
        pull = self.repository.open({"machines.yaml": spec}, **changes)
        return pull, self.start(self.repository.event(pull, "opened"))

    def machines(self) -> dict[str, str]:
        """The images of the machines, by name."""
        return {one["name"]: one["config"]["image"] for one in self.engine.machines("app")}

    def change_by_hand(self, name: str, **config: Any) -> None:
        """Change a machine's config without reconciler, as flyctl does."""
        [machine] = [one for one in self.engine.machines("app") if one["name"] == name]
        body = {"config": machine["config"] | config, "skip_launch": True}
        self.engine.client().post(f"/apps/app/machines/{machine['id']}", json=body).raise_for_status()
