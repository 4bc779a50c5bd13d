"""The action's own steps, run as a runner runs them: against the local engine and an API of comments."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.cli.main import run
from reconciler.engine.server.daemon import prepare_home, stop_engine
from tests.support.comments_api import Comments, comments_api
from tests.support.ports import free_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
THIS_ENVIRONMENT = Path(sys.prefix)  # has this checkout installed, as the first step does
HEAD, MERGE = "a" * 40, "b" * 40
SPEC = """
version: 1
name: stack
apps:
  app:
    image: i:1
    env: {SECRET: canary-value}
    tasks:
      work: {command: ['true'], count: %s}
"""


@dataclass
class Runner:
    """Runs the composite action's steps with these inputs in a checkout, as GitHub's runner does."""

    checkout: Path
    temp: Path
    environment: dict[str, str]
    said: str = ""
    outputs: dict[str, str] = field(default_factory=dict)

    def __call__(self, **inputs: str) -> int:
        given = {name: str(one.get("default", "")) for name, one in ACTION["inputs"].items()}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        output, summary = self.temp / "output", self.temp / "summary.md"
        for file in (output, summary):
            file.write_text("")
        code = 0
        for step in ACTION["runs"]["steps"][1:]:
            own = {name: self._filled(text, given) for name, text in step["env"].items()}
            files = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
            ended = subprocess.run(
                command,
                cwd=self.checkout,
                env=self.environment | own | files,
                capture_output=True,
                text=True,
                timeout=120,
            )
            self.said, code = ended.stdout + ended.stderr, ended.returncode
            assert "canary" not in self.said + summary.read_text()
        self.outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
        return code

    def install(self, environment: Path) -> None:
        """Puts it in the place of what the first step would install."""
        installed = self.temp / "reconciler"
        installed.unlink(missing_ok=True)
        installed.symlink_to(environment)

    @property
    def summary(self) -> str:
        return (self.temp / "summary.md").read_text()

    def declare(self, count: int, more: str = "") -> None:
        (self.checkout / "machines.yaml").write_text(SPEC % count + more)

    def _filled(self, text: str, given: dict[str, str]) -> str:
        known = {f"inputs.{name}": value for name, value in given.items()} | {
            "github.action_path": str(ROOT),
            "github.token": "canary-github-token",
        }
        for _ in range(2):  # an input's default may itself name the token
            text = re.sub(r"\$\{\{ (\S+) \}\}", lambda found: known[found[1]], text)
        return text


@pytest.fixture
def comments() -> Iterator[Comments]:
    with comments_api() as api:
        yield api


@pytest.fixture
def runner(tmp_path: Path, comments: Comments, warm: Path) -> Iterator[Runner]:
    checkout, temp, home = tmp_path / "checkout", tmp_path / "temp", tmp_path / "home"
    for folder in (checkout, temp):
        folder.mkdir()
    prepare_home(home)
    event = temp / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": comments.number, "head": {"sha": HEAD}}}))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": comments.url,
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_REPOSITORY": comments.repository,
        "GITHUB_RUN_ID": "42",
        "GITHUB_SHA": MERGE,
        "GITHUB_WORKSPACE": str(checkout),
        "RECONCILER_HOME": str(home),
        "RUNNER_TEMP": str(temp),
    }
    runner = Runner(checkout=checkout, temp=temp, environment=environment)
    runner.install(warm)
    runner.declare(2)
    git = ["git", "-C", str(checkout), "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "a revision"]):
        subprocess.run([*git, *words], check=True)
    yield runner
    stop_engine(home)


def merge(comments: Comments, head: str = HEAD) -> None:
    pull = {
        "number": comments.number,
        "merge_commit_sha": MERGE,
        "merged_at": "2026-01-01T00:00:00Z",
        "base": {"ref": "main"},
    }
    comments.pulls = [{"number": 3, "merge_commit_sha": "c" * 40, "merged_at": None}, pull | {"head": {"sha": head}}]


def test_no_step_puts_an_input_into_its_script() -> None:
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step["run"], step["name"]
        assert step["shell"] == "bash"


def test_from_the_pull_request_to_the_merge(runner: Runner, comments: Comments) -> None:
    comments.add("<!-- machines-reconciler other.yaml -->\nanother spec's")
    assert runner(command="plan", target="local") == 0
    assert runner.outputs["changes"] == "true"
    assert runner.outputs["exit-code"] == "2"
    assert "Plan: 2 to create" in runner.summary
    body = comments.comments[-1]["body"]
    assert body.startswith("<!-- machines-reconciler machines.yaml -->\n<!-- reconciler plan of stack -->\n")
    assert "Plan: 2 to create" in body
    assert "/actions/runs/42" in body
    last = body.rpartition("\n")[2]
    assert re.fullmatch(rf"<!-- plan {runner.outputs['plan-sha256']}\+[0-9a-f,]+ of commit {HEAD} -->", last)
    assert body.count("sha256:") == 3, "its hash for people, and what was approved, once"

    runner.declare(3)
    assert runner(command="plan", target="local") == 0
    assert len(comments.comments) == 2, "one comment, changed in place"
    assert "Plan: 3 to create" in comments.comments[-1]["body"]

    merge(comments)
    assert runner(command="apply", target="local", expect_plan="from-comment") == 0, runner.said
    assert "3 done" in runner.summary
    assert len(comments.comments) == 2
    assert runner(command="plan", target="local") == 0
    assert runner.outputs["changes"] == "false"
    assert "No changes" in comments.comments[-1]["body"]
    assert runner(command="drift", target="local", comment="false") == 0
    assert "No changes" in runner.summary


def test_what_was_not_approved_is_not_applied(runner: Runner, comments: Comments) -> None:
    apply = {"command": "apply", "target": "local", "expect_plan": "from-comment"}
    assert runner(**apply) == 1
    assert "app/work-iad-0: create is due now, which was not approved" in runner.said
    assert "approves nothing" not in runner.said, "the commit is not the merge of a pull request"
    merge(comments)
    assert runner(**apply) == 1
    assert "has no plan of machines.yaml" in runner.said
    assert runner(command="plan", target="local") == 0
    planned = comments.comments[-1]
    comments.comments[-1] = planned | {"user": {"login": "mallory"}}
    assert runner(**apply) == 1
    assert "has no plan of machines.yaml" in runner.said
    comments.comments[-1] = planned
    merge(comments, head="d" * 40)
    assert runner(**apply) == 1
    assert "is of an older commit" in runner.said
    merge(comments)
    runner.declare(5)
    assert runner(**apply) == 1
    assert "app/work-iad-2: create is due now, which was not approved" in runner.said
    assert "::error title=reconciler::" in runner.said
    runner.declare(2)
    assert runner(**apply) == 0
    assert runner(**apply) == 0, "a job that is run again finds nothing left"
    assert "Nothing left of this plan" in runner.summary
    runner.declare(3)
    assert runner(command="apply", target="local", expect_plan=f"sha256:{'0' * 64}") == 1
    runner.declare(2)
    assert runner(command="apply", target="local") == 0


def test_a_plan_that_fails_takes_the_place_of_the_one_before(runner: Runner, comments: Comments) -> None:
    assert runner(command="plan", target="local") == 0
    runner.declare(2, "wrong: <script>\n")
    assert runner(command="plan", target="local") == 1
    assert "::error file=machines.yaml,line=10,col=1" in runner.said
    [comment] = comments.comments
    assert "reconciler plan ended with 1" in comment["body"]
    assert "unknown key" in comment["body"]
    assert "<script>" not in comment["body"]
    merge(comments)
    assert runner(command="apply", target="local", expect_plan="from-comment") == 1
    assert "what was approved is not known" not in runner.said
    assert "unknown key" in runner.said, "the spec itself is not valid"
    runner.declare(2)
    assert runner(command="apply", target="local", expect_plan="from-comment") == 1
    assert "approves nothing: its last plan failed" in runner.said


def test_what_destroys_too_much_is_allowed_by_a_label_and_applied_by_the_merge(
    runner: Runner, comments: Comments
) -> None:
    apply = {"command": "apply", "target": "local", "expect_plan": "from-comment"}
    runner.declare(8)
    assert runner(command="apply", target="local") == 0
    runner.declare(1)
    assert runner(command="plan", target="local") == 0
    [comment] = comments.comments
    braked = runner.outputs["plan-sha256"]
    assert "**Blocked:** `destroys 7 of 8: needs --allow-destroy 7`" in comment["body"]
    assert "add the label `reconciler: allow-destroy`" in comment["body"]
    assert f"\n<!-- plan {braked}+" in comment["body"]
    merge(comments)
    assert runner(**apply) == 1
    assert "destroys 7 of 8: needs --allow-destroy 7" in runner.said

    assert runner(command="plan", target="local", arguments="--allow-destroy 9") == 0
    by_arguments = runner.outputs["plan-sha256"]
    comments.labels = ["bug", "reconciler: allow-destroy"]
    assert runner(command="plan", target="local", arguments="--allow-destroy 2") == 0
    assert runner.outputs["plan-sha256"] == by_arguments != braked
    assert "**Allowed:** `destroys 7 of 8, with --allow-destroy 7`" in comment["body"]
    assert f"\n<!-- plan {by_arguments}+" in comment["body"]
    assert comment["body"].endswith(f" of commit {HEAD} allow-destroy 7 -->")
    comments.labels = []
    assert runner(**apply) == 0, runner.said
    assert "7 done" in runner.summary


def test_the_summary_of_an_apply_is_its_report(runner: Runner, comments: Comments) -> None:
    runner.declare(8)
    assert runner(command="apply", target="local") == 0
    assert runner.summary.startswith("<!-- reconciler apply of stack -->\n### `stack`: Applied: ")
    assert "| `work` | `app` | 8 |" in runner.summary
    assert "Plan: 8 to create" in runner.said, "the job's log has the plan too"
    runner.declare(1)
    assert runner(command="apply", target="local") == 1
    assert "- refused: destroys 7 of 8: needs --allow-destroy 7\n" in runner.summary
    assert "**Next:** if that is meant, plan or apply with `--allow-destroy 7`." in runner.summary
    assert "<details><summary>reconciler apply ended with 1</summary>" in runner.summary
    assert "**Or:**" not in runner.summary
    assert comments.comments == []


def test_an_apply_that_failed_under_a_review_may_be_run_again(runner: Runner) -> None:
    runner.declare(
        1, "    services:\n      web: {command: [sh, -c, 'echo no-such-table; exit 3'], rollout: {min_healthy: 1s}}\n"
    )
    assert runner(command="plan", target="local", comment="false", labels="false") == 0
    assert runner(command="apply", target="local", expect_plan=runner.outputs["approval"]) == 1
    assert "\n- failed: create app/web-iad-0: " in runner.summary
    assert "\nno-such-table" in runner.summary.replace("<pre>", "\n")
    assert "**Or:** run this job again." in runner.summary


def test_a_preview_is_told_in_a_comment_of_its_own_with_its_address(runner: Runner, comments: Comments) -> None:
    web = "web: {command: [sleep, '1000'], ports: [PORT], rollout: {min_healthy: 0s}}"
    web = f"    services:\n      {web.replace('PORT', str(free_port()))}\n"
    runner.declare(1, web)
    spec = runner.checkout / "machines.yaml"
    spec.write_text(spec.read_text().replace("name: stack", "name: stack-${RECONCILER_ENVIRONMENT:-main}"))
    assert runner(command="plan", target="local") == 0
    assert runner(command="apply", target="local", environment="pr-7") == 0, runner.said
    assert runner(command="apply", target="local", environment="pr-7") == 0, runner.said
    plan, preview = (comment["body"] for comment in comments.comments)
    assert plan.startswith("<!-- machines-reconciler machines.yaml -->\n<!-- reconciler plan of stack-main -->\n")
    assert preview.startswith("<!-- machines-reconciler machines.yaml-pr-7 -->\n")
    assert "<!-- reconciler apply of stack-pr-7 in pr-7 -->" in preview
    assert re.search(r"^- `app`: <http://127\.0\.0\.1(:\d+)?>$", preview, re.MULTILINE)


def test_a_label_says_what_the_plan_does(runner: Runner, comments: Comments) -> None:
    comments.labels, comments.repository_labels = ["bug"], ["bug"]
    assert runner(command="plan", target="local") == 0
    assert sorted(comments.labels) == ["bug", "reconciler: changes"]
    assert runner(command="apply", target="local") == 0
    assert runner(command="plan", target="local", labels="false") == 0
    assert sorted(comments.labels) == ["bug", "reconciler: changes"]
    comments.labels.append("reconciler: allow-destroy")
    assert runner(command="plan", target="local") == 0
    assert sorted(comments.labels) == ["bug", "reconciler: allow-destroy", "reconciler: none"]
    runner.declare(1)
    assert runner(command="plan", target="local") == 0
    assert sorted(comments.labels) == ["bug", "reconciler: allow-destroy", "reconciler: destroys"]
    comments.requests.clear()
    assert runner(command="plan", target="local", comment="false") == 0
    assert [line for line in comments.requests if not line.startswith("GET")] == [], "it is set already"
    runner.declare(1, "wrong: 1\n")
    assert runner(command="plan", target="local") == 1
    assert sorted(comments.labels) == ["bug", "reconciler: allow-destroy"], "there is no plan"
    runner.declare(1)
    comments.refused = 403
    assert runner(command="plan", target="local") == 0
    assert "::warning title=reconciler::the pull request's label could not be set: GitHub answered 403" in runner.said


def test_an_empty_plan_may_make_no_comment(runner: Runner, comments: Comments) -> None:
    assert runner(command="apply", target="local") == 0
    assert runner(command="plan", target="local", skip_when_empty="true") == 0
    assert comments.comments == []
    runner.declare(3)
    assert runner(command="plan", target="local", skip_when_empty="true") == 0
    assert "Plan: 1 to create" in comments.comments[0]["body"]
    runner.declare(2)
    assert runner(command="plan", target="local", skip_when_empty="true") == 0
    [comment] = comments.comments
    assert "No changes" in comment["body"]


def test_arguments_may_stand_on_several_lines(runner: Runner, comments: Comments) -> None:
    runner.declare(2, "      more: {command: ['true']}\n")
    assert runner(command="apply", target="local", arguments="--parallelism 5\n--only work\n") == 0
    assert "2 done" in runner.summary
    assert runner(command="apply", target="local", arguments="--frobnicate") == 64
    assert "No such option" in runner.summary
    assert runner.outputs["exit-code"] == "64"
    assert runner(command="apply", target="local", expect_plan="from-comment") == 1
    assert "app/more-iad-0: create is due now, which was not approved" in runner.said
    assert runner.outputs["exit-code"] == "1"
    assert comments.comments == []


def test_only_a_plan_takes_the_place_of_a_plan(runner: Runner, comments: Comments) -> None:
    assert runner(command="plan", target="local") == 0
    planned = comments.comments[0]["body"]
    assert runner(command="validate") == 0
    assert runner(command="drift", target="local") == 0
    assert comments.comments[0]["body"] == planned
    runner.declare(2, "wrong: 1\n")
    assert runner(command="validate") == 1
    assert "unknown key" in runner.summary
    assert "::error" not in runner.summary


def test_a_token_that_may_not_comment_fails_nothing(runner: Runner, comments: Comments) -> None:
    comments.refused = 403
    assert runner(command="plan", target="local") == 0
    assert "::warning title=reconciler::the plan could not be put into a comment" in runner.said
    assert "Plan: 2 to create" in runner.summary
    comments.refused = None
    for number in range(130):
        comments.add(f"talk {number}", login="someone")
    theirs = comments.add("<!-- machines-reconciler machines.yaml -->\nby someone else", login="someone")
    assert runner(command="plan", target="local") == 0
    assert theirs["body"].endswith("by someone else")
    assert comments.requests[-1].startswith("POST")
    assert runner(command="plan", target="local") == 0
    assert comments.requests[-1].startswith("PATCH")


def test_a_fork_compares_specs_without_any_token(runner: Runner, comments: Comments) -> None:
    subprocess.run(["git", "update-ref", "refs/remotes/origin/main", "HEAD"], cwd=runner.checkout, check=True)
    runner.environment["GITHUB_BASE_REF"] = "main"
    runner.declare(4)
    assert runner(command="diff", target="http://127.0.0.1:1") == 0
    assert runner.outputs["changes"] == "true"
    assert "Plan: 2 to create" in comments.comments[-1]["body"]
    assert runner(command="validate") == 0
    assert "is valid" in runner.summary
    assert runner(command="frobnicate") == 64


def make_hostile(checkout: Path) -> Path:
    """Puts modules there that leave a trace in the folder returned, under names that Python or pip may look for."""
    traces = checkout.parent / "traces"
    traces.mkdir()
    for name in (
        "venv",
        "pip",
        "ensurepip",
        "sitecustomize",
        "usercustomize",
        "hatchling",
        "httpx",
        "json",
        "reconciler",
    ):
        (checkout / f"{name}.py").write_text(f"open({str(traces / name)!r}, 'w').close()\n")
    return traces


def test_the_first_step_installs_what_the_others_run_and_nothing_of_the_checkout(tmp_path: Path) -> None:
    step = ACTION["runs"]["steps"][0]
    checkout, seen, above, python = (tmp_path / name for name in ("checkout", "seen", "above", "python"))
    checkout.mkdir()
    traces = make_hostile(checkout)
    python.write_text(f'#!/bin/sh\nenv >{seen}; cat /proc/$PPID/environ >{above}; exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    environment = {
        "FLY_API_TOKEN": "canary-fly",
        "FLY_ACCESS_TOKEN": "canary-fly",
        "FLY_ORG": "personal",
        "GITHUB_TOKEN": "canary-github",
        "OTHER_TOKEN": "canary-other",
        "PYTHONPATH": ".",
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "RUNNER_TEMP": str(tmp_path),
        "ACTION_PATH": str(ROOT),
        "PYTHON": str(python),
    } | {key: value for key, value in os.environ.items() if key.lower().startswith(("pip_", "http", "no_proxy", "ssl"))}
    environment |= {name: value for name, value in step["env"].items() if not value}
    command = ["bash", "-eo", "pipefail", "-c", step["run"]]
    subprocess.run(command, cwd=checkout, env=environment, check=True, timeout=200)
    assert list(traces.iterdir()) == []
    assert "RUNNER_TEMP=" in seen.read_text()
    assert not re.search("FLY_|canary", seen.read_text())
    assert "RUNNER_TEMP=" in above.read_text(), "what the shell itself was given"
    assert not re.search("canary-(fly|github)", above.read_text())
    shown = subprocess.run([tmp_path / "reconciler/bin/reconciler", "--version"], capture_output=True, text=True)
    assert shown.stdout.startswith("reconciler ")
    spec = tmp_path / "machines.yaml"
    spec.write_text(SPEC % 1)
    validate = [str(tmp_path / "reconciler/bin/reconciler"), "validate", "-f", str(spec)]
    assert subprocess.run(validate, capture_output=True).returncode == 0, "the schemas are in the package"


@pytest.mark.parametrize("command", ["validate", "plan", "apply"])
def test_the_second_step_runs_nothing_of_the_checkout(runner: Runner, command: str) -> None:
    traces = make_hostile(runner.checkout)
    runner.install(THIS_ENVIRONMENT)
    runner.environment["PYTHONPATH"] = "."
    assert runner(command=command, target="local") == 0, runner.said
    assert list(traces.iterdir()) == []


def test_the_pre_commit_hook_checks_the_files_that_it_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    for path, is_meant in {"machines.yaml": True, "deploy/machines.yml": True, "my-machines.yaml": False}.items():
        assert bool(re.search(hook["files"], path)) is is_meant
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(SPEC % 1)
    bad.write_text("version: 1\n")
    words: list[Any] = hook["entry"].split()[1:]
    assert run([*words, str(good), str(good)]) == 0
    assert run([*words, str(good), str(bad)]) == 1
    assert "bad.yaml:1:1" in capsys.readouterr().err
    assert run([*words, str(good), str(bad), "-o", "json"]) == 64


EXAMPLES = sorted((ROOT / "examples" / "github-actions").iterdir())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_workflow_gives_only_inputs_that_there_are(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    ours = [step for step in steps if step.get("uses", "").startswith("OWNER/machines-reconciler@")]
    assert len(ours) >= 3
    for step in ours:
        assert set(step.get("with", {})) <= set(ACTION["inputs"])


def test_each_input_and_output_is_documented() -> None:
    documented = (ROOT / "docs" / "reference" / "github-action.md").read_text()
    for name in (*ACTION["inputs"], *ACTION["outputs"]):
        assert f"`{name}`" in documented, name


@pytest.mark.parametrize("number", [0, 1])
def test_the_plain_flows_of_the_page_run(runner: Runner, number: int) -> None:
    runner.install(THIS_ENVIRONMENT)
    script = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "how-to" / "gitops.md").read_text(), re.DOTALL)[number]
    environment = runner.environment | {
        "RECONCILER_TARGET": "local",
        "PATH": f"{runner.temp / 'reconciler' / 'bin'}:{os.environ['PATH']}",
    }
    ended = subprocess.run(
        ["sh", "-e", "-c", script], cwd=runner.checkout, env=environment, capture_output=True, text=True, timeout=100
    )
    assert ended.returncode == 0, ended.stderr
    assert "2 done" in ended.stdout
