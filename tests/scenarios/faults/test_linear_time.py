"""Hostile input takes time in proportion to its length: steps are counted at one size and at four times of it.

Nothing is timed. Of regular expressions the characters that they look at are counted, of code its calls.
"""

import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

import reconciler
from reconciler.canonical.normalize import canonical
from reconciler.dockerignore import parse_ignore
from reconciler.errors import SpecError
from reconciler.machines_api import errors
from reconciler.machines_api.errors import error_from_reply, shorten
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Machine, MachineState, Observed, ObservedApp
from reconciler.planner.diff import Differ
from reconciler.planner.planner import plan
from reconciler.render.diagnostics import diagnostics_text
from reconciler.render.redact import clean
from reconciler.spec import load_spec, variables
from reconciler.spec.schema import spec_schema
from tests.support.regex_steps import Steps, compiled_where_used, samples

pytestmark = pytest.mark.slow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RATIO = 4.5
APART = ("engine", "testing", "cli")

# Asked only whether a text begins so, or is that as a whole.
ONLY_FROM_THE_START = {
    "reconciler.drafts.dockerfile._INSTRUCTION",
    "reconciler.drafts.scalars._MEASURE",
    "reconciler.drafts.scalars._VARIABLE",
    "reconciler.drafts.secret_values._IMAGE",
    "reconciler.model.concealment._OF_ACTIONS",
    "reconciler.model.concealment._SCHEMES",
    "reconciler.operations.git._COMMIT",
    "reconciler.operations.origins._SETTING",
    "reconciler.spec.diagnostics._KEY",
    "reconciler.spec.near_names._ASSIGNMENT",
    "reconciler.spec.near_names._CRON",
}
# Asked only of texts that were cut to so many characters before.
OF_SHORT_TEXTS = {"reconciler.canonical.durations._PART": 100, "reconciler.slots.lease_description._PROCESS": 200}


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Every regular expression of the package's modules, and every one of the spec's schema."""
    for found in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
        if found.name.split(".")[1] not in APART:
            module = importlib.import_module(found.name)
            for name, value in (*vars(module).items(), *compiled_where_used(module)):
                if isinstance(value, re.Pattern):
                    yield f"{found.name}.{name}", value
    schemas = set(re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', json.dumps(spec_schema())))
    yield from (("of the schema: " + json.loads(one), re.compile(json.loads(one))) for one in sorted(schemas))


PATTERNS = dict(patterns())


@pytest.mark.parametrize("name", [*PATTERNS])
def test_every_regular_expression_looks_at_each_character_a_few_times(name: str) -> None:
    if name in OF_SHORT_TEXTS:
        return
    pattern = PATTERNS[name]
    for sample in samples(pattern):
        for tail in ("", "\n!", "x", "}"):
            few, many = (Steps(pattern, sample * count + tail) for count in (40, 160))
            # `${A:-` looks for its brace, and is given none but such texts as end with one: see below.
            if name in ONLY_FROM_THE_START:
                few.match(), many.match()
            elif name != "reconciler.spec.variables._PATTERN" or tail == "}":
                few.scan(), many.scan()
            assert many.count <= RATIO * few.count + 500, (sample, tail)


@pytest.mark.parametrize("name", [*PATTERNS])
def test_the_steps_are_those_of_a_matcher_that_finds_the_same(name: str) -> None:
    pattern = PATTERNS[name]
    for sample in samples(pattern):
        for text in (sample, sample * 3, f"{sample}!"):
            found = pattern.match(text)
            assert Steps(pattern, text).match() == (found.end() if found else None)


class Counted:
    """A regular expression that counts what it looks at."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern
        self.steps = 0

    def sub(self, by: Any, text: str) -> str:
        self.steps += Steps(self.pattern, text).scan()
        return self.pattern.sub(by, text)


def calls(work: Callable[[], object]) -> int:
    """How many functions are called, Python's own among them, and how often generators go on."""
    count = 0

    def count_call(_frame: object, event: str, _value: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count_call)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def load(text: str, **environment: str) -> SpecError | None:
    try:
        load_spec(text, file="machines.yaml", environment=environment)
    except SpecError as error:
        diagnostics_text(error.diagnostics, more=error.more)
        return error
    return None


HEAD = "version: 1\nname: s\napps:\n  app:\n    image: i\n"
HOSTILE: dict[str, Callable[[int], str]] = {
    "duplicate keys": lambda n: HEAD + "    env:\n" + "      A: b\n" * n,
    "other duplicate keys": lambda n: HEAD + "    env:\n" + "".join(f"      A{i}: b\n" for i in range(n)) * 2,
    "unknown keys": lambda n: HEAD + "".join(f"    key{i}: b\n" for i in range(n)),
    "unknown keys in one line": lambda n: HEAD + f"    tasks: {{t: {{{', '.join(f'k{i}: b' for i in range(n))}}}}}\n",
    "a long unknown key": lambda n: HEAD + f"    {'k' * n}: b\n",
    "bad keys of a map": lambda n: HEAD + "    metadata:\n" + "".join(f"      'a b {i}': b\n" for i in range(n)),
    "bad values": lambda n: HEAD + "    env:\n" + "".join(f"      A{i}: [b]\n" for i in range(n)),
    "an unset variable": lambda n: HEAD + "    env:\n" + "".join(f"      A{i}: ${{B}}\n" for i in range(n)),
    "unset variables": lambda n: HEAD + "    env:\n" + "".join(f"      A{i}: ${{B{i}}}\n" for i in range(n)),
    "unset variables in one line": lambda n: HEAD + f"    env: {{{', '.join(f'A{i}: ${{B}}' for i in range(n))}}}\n",
    "variables in one value": lambda n: HEAD + f"    env: {{A: '{'${B}' * n}'}}\n",
    "merges": lambda n: HEAD + "    env:\n" + "".join(f"      <<: {{A{i}: b}}\n" for i in range(n)),
    "pools": lambda n: HEAD + "    tasks:\n" + "".join(f"      t{i}: {{}}\n" for i in range(n)),
    "files": lambda n: HEAD + "    files:\n" + "".join(f"      - {{path: /a{i}, content: b}}\n" for i in range(n)),
    "the same file": lambda n: HEAD + "    tasks: {t: {}}\n    files:\n" + "      - {path: /a, content: b}\n" * n,
    "nothing but braces": lambda n: HEAD + f"    env: {{A: '{'}' * n}'}}\n",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_spec(case: str) -> None:
    load(HOSTILE[case](1))  # the schema is read, modules are imported
    few, many = (calls(partial(load, HOSTILE[case](count))) for count in (150, 600))
    assert many <= RATIO * few


@pytest.mark.parametrize("tail", ["", "}", "}${A:-"])
def test_variables_that_do_not_end(tail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(variables._PATTERN)
    monkeypatch.setattr(variables, "_PATTERN", counted)
    steps = []
    for count in (50, 200):
        counted.steps = 0
        load(HEAD + f"    env: {{A: '{'${A:-' * count}{tail}'}}\n    tasks: {{t: {{}}}}\n")
        steps.append(counted.steps)
    assert steps[1] <= RATIO * steps[0] + 500


def test_a_hundred_errors_are_told_and_the_others_counted() -> None:
    error = load(HOSTILE["unset variables"](3000))
    assert error is not None
    assert [one.place.line for one in error.diagnostics] == list(range(7, 107))
    assert error.more == 2900
    text = diagnostics_text(error.diagnostics, more=error.more)
    assert text.endswith("… and 2900 more\n3000 errors")
    assert error.summary == "the spec has 3000 errors"


def test_many_aliased_pools_are_refused_before_their_machines_are_named() -> None:
    pools = "".join(f"      t{i}: *p\n" for i in range(1, 200))
    text = HEAD + "    tasks:\n      t0: &p {count: 10000}\n" + pools
    error: list[SpecError | None] = []
    assert calls(lambda: error.append(load(text))) < 500_000
    assert "2000000 machines in all" in str(error[0] and error[0].diagnostics[0].message)


def test_what_merges_bring_in_again_and_again_is_counted() -> None:
    keys = "".join(f"      A{i}: b\n" for i in range(1000))
    merges = "".join(f"      t{i}: {{env: {{<<: *e, <<: *e}}}}\n" for i in range(110))
    same = "        <<: *e\n" * 210
    for text in (HEAD + "    env: &e\n" + keys + "    tasks:\n" + merges, HEAD + "    env: &e\n" + keys + same[2:]):
        error = load(text)
        assert error is not None
        assert any(
            "expands to more than" in one.message or "contains itself" in one.message for one in error.diagnostics
        )


def test_long_texts_that_aliases_repeat_are_counted_by_their_length() -> None:
    aliases = ", ".join(["*a"] * 60)
    error = load(HEAD + f"    tasks: {{t: {{command: [&a {'a' * 2_000_000}, {aliases}]}}}}\n")
    assert error is not None
    assert "expands to more than" in error.diagnostics[0].message


def test_what_every_pool_gets_of_the_defaults_is_counted() -> None:
    keys = "".join(f"      A{i}: b\n" for i in range(5000))
    pools = "".join(f"      t{i}: {{}}\n" for i in range(450))
    found: list[SpecError | None] = []
    assert calls(lambda: found.append(load(HEAD + "    env:\n" + keys + "    tasks:\n" + pools))) < 1_000_000
    assert "values in all" in str(found[0] and found[0].diagnostics[0].message)


def test_variables_do_not_blow_the_spec_up() -> None:
    error = load(HEAD + f"    env: {{A: '{'${B}' * 1000}'}}\n", B="b" * 100_000)
    assert error is not None
    assert "larger than 64 MiB" in error.diagnostics[0].message


@pytest.mark.parametrize("text", ["a", "<", "\x1b", " ", "::a", "##[a"])
def test_foreign_text_is_cut_before_it_is_cleaned(text: str) -> None:
    for clean_it in (clean, shorten):
        few, many = (calls(partial(clean_it, text * length)) for length in (5_000, 500_000))
        assert many == few
        assert clean_it(f"a{text}" * 5_000).endswith("…")


@pytest.mark.parametrize("body", ["<", '{"error": "', "lease currently held by ", "expires at 2026-", "machine ID a"])
def test_an_error_whose_body_is_hostile(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(errors._MARKUP)
    monkeypatch.setattr(errors, "_MARKUP", counted)
    counts = []
    for length in (1_000, 4_000):
        content = json.dumps({"error": body * length}).encode()
        counted.steps = 0
        asked = ["canary-secret" * length, *(f"secret-{i}" for i in range(50))]
        found = calls(partial(error_from_reply, "x", 400, content, {}, now=NOW, secrets=asked))
        counts.append(found)
        assert counted.steps < 100_000
    assert counts[1] <= RATIO * counts[0]


def test_a_secret_that_the_cut_falls_into_is_concealed_all_the_same() -> None:
    secret = "".join(f"canary{number}" for number in range(1000))
    for before in (0, 10, 4080):
        said = json.dumps({"error": f"{'x ' * (before // 2)}{secret}"}).encode()
        assert "canary" not in error_from_reply("x", 400, said, {}, now=NOW, secrets=[secret]).message


def config(words: int, *, of: str) -> MachineConfig:
    files = [{"guest_path": f"/{i}", "raw_value": of} for i in range(words)]
    init = {"cmd": [f"{of}{i}" for i in range(words)]}
    return MachineConfig(document={"image": "i", "init": init, "files": files})


def test_two_configs_that_differ_in_everything() -> None:
    def compare(count: int) -> int:
        desired, live = canonical(config(count, of="a")), config(count, of="b")
        return calls(lambda: Differ().differences(desired, live))

    compare(1)
    few, many = compare(50), compare(200)
    assert many <= RATIO * few


@pytest.mark.parametrize("adopt", [True, False])
def test_many_machines_that_hold_the_names_of_slots(adopt: bool) -> None:
    def work(count: int) -> int:
        text = HEAD + f"    tasks: {{t: {{command: [a], count: {count}}}}}\n"
        spec = load_spec(text, file="machines.yaml", environment={})
        machines = tuple(
            Machine(
                app="app",
                id=str(number),
                name=f"t-iad-{number}",
                state=MachineState.STOPPED,
                region="iad",
                version="1",
                config=MachineConfig(document={"image": "j"}),
            )
            for number in range(count)
        )
        observed = Observed(apps={"app": ObservedApp(name="app", exists=True, machines=machines)}, at=NOW)
        return calls(lambda: plan(spec, observed, adopt=adopt))

    few, many = work(50), work(200)
    assert many <= RATIO * few


@pytest.mark.parametrize(
    "pattern", ["*a" * 30 + "b", "**/a/" * 15 + "b", "**a" * 20 + "b", "**/**/**/**/b", "[ab]*" * 20]
)
def test_a_hostile_ignore_file(pattern: str) -> None:
    ignore = parse_ignore([pattern, f"!{pattern}"])
    few, many = (calls(partial(ignore.matches, "a/aaa" * count)) for count in (50, 200))
    assert many <= RATIO * few
    lines = [f"{pattern}{number:03}" for number in range(400)]
    few, many = (calls(partial(parse_ignore, lines[:count])) for count in (100, 400))
    assert many <= RATIO * few


def test_a_pattern_that_is_none_is_passed_over() -> None:
    ignore = parse_ignore(["[z-a]", "b"])
    with suppress(re.error):
        assert ignore.matches("b")
    assert not ignore.matches("z")
