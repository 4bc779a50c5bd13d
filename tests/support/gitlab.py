"""Run the jobs of a GitLab pipeline as shell: rules, `extends`, artifacts, manual jobs."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


class Pipeline:
    """A pipeline of one commit, in folders of its own; each job has a fresh checkout and the artifacts before it.

    Scripts run with `variables`; `before_script` does not, since it installs.
    """

    def __init__(self, path: Path, source: Path, folder: Path, variables: Mapping[str, str]) -> None:
        self._document: dict[str, Any] = yaml.safe_load(path.read_text())
        self._source, self._folder, self._variables = source, folder, variables
        self._artifacts: dict[str, Path] = {}
        self.said = ""

    @property
    def jobs(self) -> dict[str, str]:
        """The jobs of this pipeline, and when each runs: `on_success` or `manual`."""
        found = {}
        for name in self._document:
            if name != "stages" and not name.startswith("."):
                when = next(
                    (rule.get("when", "on_success") for rule in self._job(name)["rules"] if self._holds(rule)), None
                )
                if when:
                    found[name] = when
        return sorted_by_stage(found, self._document)

    def run(self, name: str) -> int:
        """The exit code of the job's script; its output is in `said`."""
        assert name in self.jobs
        job, checkout = self._job(name), self._folder / name
        shutil.copytree(self._source, checkout)
        for path, kept in self._artifacts.items():
            shutil.copy(kept, checkout / path)
        script = "\n".join(["set -eo pipefail", *job["script"]])
        ended = subprocess.run(
            ["bash", "-c", script],
            cwd=checkout,
            env=dict(self._variables),
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.said = ended.stdout + ended.stderr
        artifacts = job.get("artifacts", {})
        for path in (*artifacts.get("paths", []), *artifacts.get("reports", {}).values()):
            if (checkout / path).exists():
                self._artifacts[path] = checkout / path
        return ended.returncode

    def artifact(self, path: str) -> str:
        return self._artifacts[path].read_text()

    def _job(self, name: str) -> dict[str, Any]:
        job = self._document[name]
        return {**(self._job(job["extends"]) if "extends" in job else {}), **job}

    def _holds(self, rule: Mapping[str, str]) -> bool:
        """Whether the rule's condition holds: comparisons of variables and texts, joined by &&."""
        if "if" not in rule:
            return True
        return all(self._compared(part.strip()) for part in rule["if"].split("&&"))

    def _compared(self, text: str) -> bool:
        left, sign, right = re.fullmatch(r"(\S+)(?: (==|!=) (\S+))?", text).groups()  # type: ignore[union-attr]
        if sign is None:
            return bool(self._value(left))
        return (self._value(left) == self._value(right)) is (sign == "==")

    def _value(self, word: str) -> str:
        return self._variables.get(word[1:], "") if word.startswith("$") else word.strip('"')


def sorted_by_stage(jobs: dict[str, str], document: Mapping[str, Any]) -> dict[str, str]:
    return dict(sorted(jobs.items(), key=lambda job: document["stages"].index(document[job[0]]["stage"])))
