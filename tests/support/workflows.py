"""Run the jobs of a GitHub workflow as shell, as GitHub's runner does: conditions, needs, outputs, tokens, secrets.

Of the actions that a workflow uses there are two: actions/checkout, and the action of this repository, whose steps run
but for the one that installs, since what that would install is what the tests run.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from tests.support.expressions import filled, holds
from tests.support.github_api import GitHubApi
from tests.support.github_repository import NAME, Event

ROOT = Path(__file__).parents[2]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
_SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")
_OUTPUT = re.compile(r"\s*(?:([\w-]+)<<(\S+)\n(.*?)\n?^\2$|([\w-]+)=([^\n]*))", re.MULTILINE | re.DOTALL)
_DEFAULT_TYPES = ("opened", "synchronize", "reopened")


@dataclass
class Job:
    """How a job ended: `success`, `failure`, `skipped` or `cancelled`."""

    result: str
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    said: str = ""
    steps: dict[str, dict[str, str]] = field(default_factory=dict)  # the outputs of each step that has an id


@dataclass
class _Step:
    """What a step needs of its job."""

    contexts: dict[str, Any]
    environment: dict[str, str]
    checkout: Path
    temp: Path


class Runner:
    """Runs workflows in `folder`. `secrets` are by environment; those of "" are the repository's.

    In the place of what the action installs is `installed`, a folder with `bin/python`.
    """

    def __init__(
        self,
        folder: Path,
        api: GitHubApi,
        variables: Mapping[str, str],
        secrets: Mapping[str, Mapping[str, str]],
        *,
        installed: Path,
    ) -> None:
        self._folder, self._api, self._variables, self._secrets = folder, api, variables, secrets
        self._installed = installed
        self._count = 0

    def run(
        self, workflow: Mapping[Any, Any], event: Event, kept: Mapping[str, Job] = MappingProxyType({})
    ) -> dict[str, Job]:
        """The jobs that the event starts, by name. Those that are kept, of an earlier attempt, are not run again."""
        if not _is_for(workflow[True], event):  # YAML 1.1 reads `on` as true
            return {}
        jobs: dict[str, Job] = {}
        for name, job in workflow["jobs"].items():  # which stand after what they need
            jobs[name] = kept.get(name) or self._job(name, job, event, jobs)
        return jobs

    def run_at_once(self, workflow: Mapping[Any, Any], events: list[Event]) -> list[dict[str, Job]]:
        """The jobs of events that come while those of the first are under way.

        Of those that wait in a group of concurrency, GitHub keeps the newest; what was cancelled is not run.
        """
        every = []
        for place, event in enumerate(events):
            ends: dict[str, Job] = {}
            for name, job in workflow["jobs"].items():
                concurrency = job.get("concurrency")
                is_wanted = "needs" not in job and holds(job.get("if"), _contexts_of(event), has_failed=False)
                if concurrency and is_wanted and 0 < place < len(events) - 1:
                    assert len({filled(concurrency["group"], _contexts_of(one)) for one in events}) == 1
                    assert concurrency["cancel-in-progress"] is False
                    ends[name] = Job("cancelled")
                else:
                    ends[name] = self._job(name, job, event, ends)
            every.append(ends)
        return every

    def _job(self, name: str, job: Mapping[str, Any], event: Event, before: Mapping[str, Job]) -> Job:
        needs = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
        contexts = _contexts_of(event)
        contexts["needs"] = {one: {"result": before[one].result, "outputs": before[one].outputs} for one in needs}
        results = {before[one].result for one in needs}
        if not holds(
            job.get("if"),
            contexts,
            has_failed="failure" in results,
            is_skipped=bool(results & {"skipped", "cancelled"}),
        ):
            return Job("skipped")
        is_foreign = event.pull is not None and event.pull.is_fork
        permissions = {scope: "read" if is_foreign else given for scope, given in (job["permissions"] or {}).items()}
        token = self._api.token(permissions)
        environment = job.get("environment") or ""
        environment = environment["name"] if isinstance(environment, Mapping) else environment
        contexts["secrets"] = {} if is_foreign else {**self._secrets[""], **self._secrets.get(environment, {})}
        contexts["secrets"]["GITHUB_TOKEN"] = contexts["github"]["token"] = token
        return self._steps(name, job, event, contexts)

    def _steps(self, name: str, job: Mapping[str, Any], event: Event, contexts: dict[str, Any]) -> Job:
        self._count += 1
        folder = self._folder / f"{self._count}-{name}"
        checkout, temp = folder / "checkout", folder / "temp"
        checkout.mkdir(parents=True)
        temp.mkdir()
        (temp / "reconciler").symlink_to(self._installed)
        event_file = temp / "event.json"
        event_file.write_text(json.dumps(event.payload))
        environment = {
            **self._variables,
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self._api.url,
            "GITHUB_BASE_REF": "main" if event.pull else "",
            "GITHUB_HEAD_REF": event.pull.branch if event.pull else "",
            "GITHUB_EVENT_NAME": event.name,
            "GITHUB_EVENT_PATH": str(event_file),
            "GITHUB_REF": event.ref,
            "GITHUB_REF_NAME": event.ref.removeprefix("refs/heads/"),
            "GITHUB_REPOSITORY": NAME,
            "GITHUB_RUN_ID": str(self._count),
            "GITHUB_SHA": event.sha,
            "GITHUB_WORKSPACE": str(checkout),
            "RUNNER_TEMP": str(temp),
        }
        environment |= {key: filled(value, contexts) for key, value in job.get("env", {}).items()}
        contexts["steps"], done = {}, Job("success")
        for step in job["steps"]:
            if not holds(step.get("if"), contexts, has_failed=done.result == "failure"):
                continue
            place = _Step(contexts, environment | _filled_env(step, contexts), checkout, temp)
            code, outputs = self._step(step, place, done, event)
            if "id" in step:
                contexts["steps"][step["id"]] = {"outputs": outputs}
                done.steps[step["id"]] = outputs
            if code:
                done.result = "failure"
        done.outputs = {key: filled(value, contexts) for key, value in job.get("outputs", {}).items()}
        shutil.rmtree(checkout)
        return done

    def _step(self, step: Mapping[str, Any], place: _Step, job: Job, event: Event) -> tuple[int, dict[str, str]]:
        used = step.get("uses", "")
        if used.startswith("actions/checkout@"):
            given = {key: filled(value, place.contexts) for key, value in step["with"].items()}
            assert given.pop("persist-credentials") == "false"
            self._check_out(place.checkout, given.get("ref") or event.sha, whole=given.get("fetch-depth") == "0")
            return 0, {}
        if used.startswith("OWNER/machines-reconciler@"):
            return self._action(step, place, job)
        assert not used, f"the runner has no {used}"
        assert "${{" not in step["run"], "what an event says would be part of a script"
        return _shell(step["run"], place.environment, place, job)

    def _action(self, step: Mapping[str, Any], place: _Step, job: Job) -> tuple[int, dict[str, str]]:
        """Run the action's own steps with these inputs."""
        github = {**place.contexts["github"], "action_path": str(ROOT)}
        given = {name: filled(one.get("default"), {"github": github}) for name, one in ACTION["inputs"].items()}
        unknown = set(step.get("with", {})) - set(given)
        assert not unknown, f"the action has no input {unknown}"
        given |= {name: filled(value, place.contexts) for name, value in step.get("with", {}).items()}
        contexts: dict[str, Any] = {"github": github, "inputs": given, "steps": {}}
        code = 0
        for own in ACTION["runs"]["steps"][1:]:
            code, outputs = _shell(own["run"], place.environment | _filled_env(own, contexts), place, job)
            contexts["steps"][own["id"]] = {"outputs": outputs}
            if code:
                break
        return code, {name: filled(one["value"], contexts) for name, one in ACTION["outputs"].items()}

    def _check_out(self, checkout: Path, commit: str, *, whole: bool) -> None:
        """Fetch as actions/checkout does: one commit, or all branches with their history."""
        source = f"file://{self._api.repository.directory}"
        what = ["+refs/heads/*:refs/remotes/origin/*", commit] if whole else ["--depth=1", commit]
        for words in (
            ["init", "-q", "."],
            ["-c", "protocol.file.allow=always", "fetch", "-q", "--no-tags", source, *what],
            ["checkout", "-q", "--detach", commit],
        ):
            subprocess.run(["git", *words], cwd=checkout, check=True, capture_output=True, timeout=30)


def _is_for(on: Any, event: Event) -> bool:
    """Whether the workflow is started by the event."""
    if event.name not in on:
        return False
    given = on[event.name] or {}
    if event.name == "pull_request":
        return event.payload["action"] in given.get("types", _DEFAULT_TYPES)
    return event.name != "push" or event.ref.removeprefix("refs/heads/") in given["branches"]


def _contexts_of(event: Event) -> dict[str, Any]:
    inputs = event.payload.get("inputs", {})
    github = {"event_name": event.name, "event": event.payload, "ref": event.ref, "sha": event.sha, "repository": NAME}
    return {"github": github, "inputs": inputs}


def _filled_env(step: Mapping[str, Any], contexts: Mapping[str, Any]) -> dict[str, str]:
    return {key: filled(value, contexts) for key, value in step.get("env", {}).items()}


def _shell(script: str, environment: Mapping[str, str], place: _Step, job: Job) -> tuple[int, dict[str, str]]:
    """Run a script; return its exit code and the outputs that it wrote."""
    output, summary = place.temp / "output", place.temp / "summary.md"
    output.write_text("")
    summary.write_text("")
    files = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}
    ended = subprocess.run(
        [*_SHELL, script],
        cwd=place.checkout,
        env={**environment, **files},
        capture_output=True,
        text=True,
        timeout=120,
    )
    job.said += ended.stdout + ended.stderr
    job.summary += summary.read_text()
    assert "canary" not in job.said + job.summary, "a token was shown"
    return ended.returncode, _outputs_in(output.read_text())


def _outputs_in(text: str) -> dict[str, str]:
    """Read `name=value` lines, and values between `name<<END` and END."""
    found: dict[str, str] = {}
    while text.strip():
        one = _OUTPUT.match(text)
        assert one, text
        found[one[1] or one[4]] = one[3] if one[1] else one[5]
        text = text[one.end() :]
    return found


def workflow(path: Path) -> dict[Any, Any]:
    document: dict[Any, Any] = yaml.safe_load(path.read_text())
    return document
