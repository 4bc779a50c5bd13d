"""A draft is read by the spec's own loader as the very values that it was made of."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.drafts.nodes import Comment, DraftMap, Member, Template, block, flow
from reconciler.drafts.write import write_draft
from reconciler.spec.diagnostics import Findings
from reconciler.spec.document import parse_document
from reconciler.spec.variables import interpolate
from reconciler.spec.yaml_nodes import plain_value

AWKWARD = (
    *(
        "",
        " ",
        "no",
        "Yes",
        "~",
        "null",
        "1",
        "1.10",
        "010",
        "1:30",
        "1e3",
        "0x1F",
        "2001-01-01",
        ".5",
        "..",
        "-",
        "- a",
    ),
    *(
        "a: b",
        "a #b",
        "a:",
        "#",
        "&a",
        "*a",
        "!t",
        "?",
        "| ",
        "%",
        "@",
        "`",
        "'",
        '"',
        "a'b\"c",
        "\\",
        "[a]",
        "{a}",
        "a,b",
    ),
    *(
        "<<",
        "=",
        "---",
        "...",
        "$",
        "$$",
        "$A",
        "${A}",
        "$${A}",
        "${A:-b}",
        "}",
        "a\n",
        "a\nb",
        "a\n\n",
        "\na",
        " a\nb",
    ),
    *(
        "a\n b\n",
        "a\n \nb",
        "a\r\nb",
        "\t",
        "a\tb",
        "a\n\tb",
        "\x00",
        "\x7f",
        "\x85",
        "\u2028",
        "\ufeff",
        "\ufffe",
        "😀",
    ),
    *("größe", "a" * 300, "key " * 60, "registry.fly.io/a:b", "30s", "--wait", "-A", "x" * 2000, "9" * 40),
)
TEXTS = st.one_of(st.sampled_from(AWKWARD), st.text(max_size=12))
SCALARS = st.one_of(
    TEXTS, st.booleans(), st.none(), st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False)
)
COMMENTS = st.sampled_from(["", "a reason", "x: {y", "with\nlines", "\x07", "long " * 60])


def values() -> st.SearchStrategy[Any]:
    return st.recursive(SCALARS, lambda one: st.one_of(st.lists(one, max_size=4), maps_of(one)), max_leaves=12)


def maps_of(value: st.SearchStrategy[Any]) -> st.SearchStrategy[DraftMap]:
    keys = st.lists(TEXTS, unique=True, max_size=4)
    return st.builds(
        map_of, keys, st.lists(value, min_size=4, max_size=4), st.lists(COMMENTS, max_size=2), st.booleans()
    )


def map_of(keys: list[str], members: list[Any], comments: list[str], is_flow: bool) -> DraftMap:
    """A map with comments before, beside and between its members."""
    made = DraftMap(is_flow=is_flow)
    for number, (key, value) in enumerate(zip(keys, members, strict=False)):
        if number < len(comments):
            made.say(comments[number])
        made.put(key, value, beside=comments[0] if comments and number == 1 else None)
        if number == 2:
            made.disable(key, value)
    return made


def plain(value: Any) -> Any:
    if isinstance(value, DraftMap):
        return {one.key: plain(one.value) for one in value.members()}
    return [plain(item) for item in value if not isinstance(item, Comment)] if isinstance(value, list) else value


def read(text: str, **environment: str) -> Any:
    findings = Findings()
    root = parse_document("machines.yaml", text, findings)
    findings.raise_if_any()
    assert root is not None
    root, _names = interpolate(root, environment, findings)
    findings.raise_if_any()
    return plain_value(root)


@given(maps_of(values()))
def test_what_is_written_is_read_as_the_same_values_of_the_same_types(draft: DraftMap) -> None:
    text = write_draft(block({}) if not draft.parts else draft)
    if any(True for _ in draft.members()):
        assert repr(read(text)) == repr(plain(draft))


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_text_stands_anywhere(text: str) -> None:
    everywhere = block({"block": text, "list": [text, ["a\nb", text]], "flow": {"key": text, text: [text]}})
    everywhere.put("items", [block({"first": text, "second": {"in": text}})])
    assert read(write_draft(everywhere)) == plain(everywhere)


def test_only_a_template_has_variables() -> None:
    draft = block({"a": Template("${TOKEN}"), "b": "${TOKEN}", "c": Template("x-${TOKEN:-y}\nz")})
    assert read(write_draft(draft), TOKEN="s") == {"a": "s", "b": "${TOKEN}", "c": "x-s\nz"}


def test_short_lists_and_maps_stand_on_one_line_and_comments_at_their_place() -> None:
    draft = block({"version": 1, "regions": ["iad", "ams"]})
    draft.say("Why this is so.")
    pool = block({"command": ["php", "artisan", "queue:work"], "guest": flow({"cpus": 2, "memory_mb": 512})})
    pool.put("timeout", "10m", beside="how long a run may take")
    pool.disable("mounts", [flow({"path": "/data", "size": "3gb"})])
    draft.put("tasks", block({}))
    draft.put("web", pool)
    draft.put("files", [Comment("a file"), block({"path": "/a", "content": "one\ntwo\n"})])
    draft.parts.append(Member(key="checks", value=DraftMap(parts=[Comment("nothing yet")])))
    draft.put("ports", [Comment("none")], beside="for now")
    assert write_draft(draft) == (
        "version: 1\n"
        "regions: [iad, ams]\n"
        "# Why this is so.\n"
        "tasks: {}\n"
        "web:\n"
        '  command: [php, artisan, "queue:work"]\n'
        "  guest: {cpus: 2, memory_mb: 512}\n"
        "  timeout: 10m # how long a run may take\n"
        "  # mounts: [{path: /data, size: 3gb}]\n"
        "files:\n"
        "  # a file\n"
        "  - path: /a\n"
        "    content: |\n"
        "      one\n"
        "      two\n"
        "checks: {}\n"
        "  # nothing yet\n"
        "ports: [] # for now\n"
        "  # none\n"
    )


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**40, "\ud800"])
def test_what_no_spec_can_say_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a spec cannot say"):
        write_draft(block({"a": value}))
