"""Each command on each page of docs/ is run as it stands there, or is counted among those of other people's tools."""

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from reconciler.spec import load_spec
from tests.support.page_session import FRAMEWORKS, Session, open_session
from tests.support.pages import DOCS, OF_COMMANDS, ROOT, Block, blocks_of, named, pages

STARTS_IN = {"how-to/laravel.md": "laravel", "how-to/rails.md": "rails", "how-to/django.md": "django"}
SESSIONS = [page for page in pages() if any(block.is_session for block in blocks_of(page))]
OF_OTHERS = {"Fly": 7, "fly": 6, "docker": 1, "terraform": 1}


@pytest.mark.slow
@pytest.mark.parametrize("page", SESSIONS, ids=named)
def test_the_commands_of_a_page_do_what_it_shows(page: Path, tmp_path: Path) -> None:
    blocks = blocks_of(page)
    has_own_engine = any(re.search(r"reconciler engine \w", one.text) for one in blocks if one.is_session)
    with open_session(tmp_path, has_own_engine=has_own_engine) as session:
        if app := STARTS_IN.get(named(page)):
            shutil.copytree(FRAMEWORKS / app, session.directory, dirs_exist_ok=True)
        for block in blocks:
            if block.file and not block.others:
                session.write(block.file, block.text)
            elif block.is_session:
                for command, shown in block.commands:
                    session.check(command, shown)


def test_a_command_that_is_not_run_is_of_other_peoples_tools_and_counted() -> None:
    counted = Counter(tool for page in pages() for block in blocks_of(page) for tool in block.others)
    assert counted == OF_OTHERS


@pytest.mark.parametrize("page", pages(), ids=named)
def test_each_block_of_commands_is_run(page: Path) -> None:
    blocks = blocks_of(page)
    assert len(blocks) * 2 == len(re.findall(r"^ *```", page.read_text(), re.MULTILINE)), "a block that is not read"
    for block in (one for one in blocks if one.language in OF_COMMANDS):
        assert block.others or block.run_by or block.is_session, f"write it as `console`, or mark it:\n{block.text}"
        if block.is_session:
            assert block.text.startswith("$ "), block.text
        if block.run_by:
            assert page.name in (ROOT / block.run_by).read_text(), f"{block.run_by} does not name {named(page)}"
        assert not block.others or all(is_of(tool, block) for tool in block.others), block


def is_of(tool: str, block: Block) -> bool:
    """Whether the block is for this tool: the platform itself, or what one of its commands is."""
    return (
        tool in {"Fly", "GitHub"}
        or re.search(rf"^(?:\$ )?{tool}\b|[|(] ?{tool} ", block.text, re.MULTILINE) is not None
    )


@pytest.mark.parametrize("page", pages(), ids=named)
def test_each_spec_of_a_page_is_valid(page: Path) -> None:
    for block in blocks_of(page):
        if block.language == "yaml" and re.search(r"^apps:", block.text, re.MULTILINE) and not is_overlay(block):
            head = "" if block.text.startswith(("version:", "#")) else "version: 1\nname: s\n"
            load_spec(head + completed(block.text), file=named(page), environment={})


def is_overlay(block: Block) -> bool:
    """Whether the block lies over another one, such as `machines.staging.yaml`."""
    return re.fullmatch(r"\w+\.\w+\.yaml", block.file or "") is not None


def completed(text: str) -> str:
    """Return the spec with a task, where it shows an app alone."""
    return text if "tasks:" in text or "services:" in text else f"{text}    tasks: {{t: {{command: [c]}}}}\n"


def test_the_pages_are_those_of_docs() -> None:
    assert DOCS / "tutorial" / "first-run.md" in SESSIONS


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("echo one", "two"),
        ("echo one", "one\ntwo"),
        ("printf 'one\\ntwo\\n'", "one"),
        ("printf 'one\\ntwo\\n'", "…\none"),
        ("exit 3", ""),
        ("exit 3; echo $?", "4"),
        ("no-such-command", ""),
    ],
)
def test_a_page_that_shows_something_else_is_found_out(command: str, shown: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=re.escape(command.removesuffix("; echo $?"))):
        Session(tmp_path, None).check(command, shown.split("\n"))


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("echo one", "one"),
        ("echo one", ""),
        ("echo one two", "one …"),
        ("printf 'one\\ntwo\\n'", "…\ntwo"),
        ("printf 'one\\ntwo\\n'", "one\n…"),
        ("exit 3; echo $?", "3"),
        ("echo one; echo $?", "one\n0"),
    ],
)
def test_a_page_that_shows_what_happens_is_right(command: str, shown: str, tmp_path: Path) -> None:
    Session(tmp_path, None).check(command, shown.split("\n"))
