"""The file of `--adversity`: what it may say, and its errors."""

import ast
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.faults.config import load_fault_file
from reconciler.engine.faults.rules import ALWAYS, FaultConfigError
from reconciler.engine.faults.settings import LATENCIES, Settings
from reconciler.testing.controller import rule_of
from tests.support.engine_api import Ask, make, with_api
from tests.support.world import World


def test_names_need_not_be_unique_where_a_server_does_not_care() -> None:
    async def scenario(world: World, ask: Ask) -> None:
        assert await make(ask, "run", "1", name="m") != await make(ask, "run", "1", name="m")

    text = "behaviour: {enforces_names: false}"
    with_api(scenario, load(text)[0])


def load(text: str) -> Any:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        return load_fault_file(Path(file.name))


def test_a_file_says_how_slow_how_strict_and_how_unlucky() -> None:
    settings, faults = load(
        """
latency: {like: fly, replace_s: 9}
limits_rates: true
behaviour: {stale_version_status: null, metadata_limit_bytes: 100}
rules:
  - {fault: lose_reply, call: [create, update], machine: "web-*", after: 2, times: always}
  - {fault: late_reply, seconds: 1.5, request: 7}
"""
    )
    assert settings.latency.replace_s == 9
    assert settings.latency.prepare_s == LATENCIES["fly"].prepare_s
    assert settings.limits_rates
    assert settings.behaviour.stale_version_status is None
    first, second = faults.rules
    assert (first.calls, first.machine, first.after, first.times) == (("create", "update"), "web-*", 2, ALWAYS)
    assert (second.seconds, second.request) == (1.5, 7)
    settings, faults = load_fault_file(None)
    assert (settings, faults.rules) == (Settings(), [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "expected a map"),
        ("rules: 5", "expected a list"),
        ("rules: [{}]", "which `fault`"),
        ("rules: [{fault: nonsense}]", "unknown fault"),
        ("rules: [{fault: html, colour: red}]", "unknown key 'colour'"),
        ("rules: [{fault: html, times: soon}]", "`always`"),
        ("rules: [{fault: html, after: true}]", "makes no sense"),
        ("latency: warp", "none of"),
        ("latency: {warp_s: 1}", "unknown key"),
        ("latency: {start_s: -1}", "makes no sense"),
        ("latency: {start_s: null}", "makes no sense"),
        ("behaviour: {enforces_names: 3}", "makes no sense"),
        ("limits_rates: 1", "true or false"),
        ("surprise: 1", "unknown key 'surprise'"),
        ("a: [", "not YAML"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(FaultConfigError, match=words):
        load(text)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            "fault: lose_reply, call: create, machine: work-*",
            r"rules\[0\]: it can never strike: create names no machine",
        ),
        ("fault: lose_reply, call: [create, list], image: i", "create, list names no machine"),
        ("fault: lose_reply, call: logs, machine: m", "logs names no machine"),
        ("fault: vanish, call: create", "needs a call on a machine"),
        ("fault: lose_reply, call: create_app, app: a", "create_app names no app"),
        ("fault: drop_start, call: start", "strikes at no call"),
        ("fault: host_unreachable, request: 3", "strikes at no call"),
        ("fault: empty_list, call: get", "not answered by a list"),
        ("fault: html, request: 3, after: 1", "is met once"),
        ("fault: html, times: 0", "expected 1 or more"),
        ("fault: html, times: -1", "expected 1 or more"),
        ("fault: html, after: -1", "expected 0 or more"),
        ("fault: html, request: -1", "expected 0 or more"),
        ("fault: html, call: creat", "unknown call 'creat'; known: .*create"),
        ("fault: lose_request, committed: true", "cannot come after the effect"),
        ("fault: html, committed: true", "cannot come after the effect"),
    ],
)
def test_a_rule_that_can_never_strike_is_refused_with_the_reason(rule: str, words: str) -> None:
    with pytest.raises(FaultConfigError, match=words):
        load(f"rules: [{{{rule}}}]")


@pytest.mark.parametrize(
    "name", ["docs/how-to/local-engine.md", "docs/how-to/testing.md", "docs/explanation/engine-fidelity.md"]
)
def test_every_rule_of_the_docs_can_be_read(name: str) -> None:
    text = (Path(__file__).parents[3] / name).read_text()
    blocks = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "fault:" in block]
    for block in blocks:
        assert load(block)[1].rules
    calls = re.findall(r"\.fault\((\"[^)]*)\)", text)
    for call in calls:
        parsed = ast.parse(f"fault({call})", mode="eval").body
        assert isinstance(parsed, ast.Call)
        details = {str(one.arg): ast.literal_eval(one.value) for one in parsed.keywords}
        rule_of(ast.literal_eval(parsed.args[0]), details)
    assert blocks or calls or name == "docs/how-to/local-engine.md"
