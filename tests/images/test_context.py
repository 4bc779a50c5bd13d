"""What a build is made of: the ignore file's rules, and a digest that follows the content and nothing else."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.dockerignore import parse_ignore
from reconciler.errors import BuildError
from reconciler.images.context import context_tag
from reconciler.model.spec import Build

# pattern(s), then what is left out and what is not
RULES: dict[str, tuple[list[str], list[str]]] = {
    "*.log": (["a.log"], ["d/a.log", "a.logs", "log"]),
    "**/*.log": (["a.log", "d/a.log", "d/e/a.log"], ["a.txt"]),
    "node_modules": (["node_modules", "node_modules/a/b"], ["d/node_modules", "node_modules2"]),
    "/build/": (["build", "build/x"], ["d/build"]),
    "d/*": (["d/a", "d/a/b"], ["d", "e/a"]),
    "**": (["a", "d/e"], []),
    "a/**/b": (["a/b", "a/x/b", "a/x/y/b/c"], ["a/x", "b"]),
    "?.txt": (["a.txt"], ["ab.txt", "/.txt"]),
    "[a-c].txt": (["b.txt"], ["d.txt"]),
    "[^a-c].txt": (["d.txt"], ["b.txt"]),
    "\\*.txt": (["*.txt"], ["a.txt"]),
    "./a": (["a"], ["b"]),
    "a+b.(c)": (["a+b.(c)"], ["aab.c"]),
    "*.md\n!README.md": (["A.md"], ["README.md"]),
    "*.md\n!README*.md\nREADME-secret.md": (["A.md", "README-secret.md"], ["README.md"]),
    "d\n!d/keep": (["d/a"], ["d/keep", "d/keep/x"]),
    "# comment\n\n  spaced  ": (["spaced"], ["# comment"]),
    "../up": ([], ["up"]),
}


@pytest.mark.parametrize("text", RULES)
def test_the_rules_of_a_dockerignore(text: str) -> None:
    ignore = parse_ignore(text.splitlines())
    out, kept = RULES[text]
    assert [path for path in out if not ignore.matches(path)] == []
    assert [path for path in kept if ignore.matches(path)] == []


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "b.txt").write_text("b")
    return tmp_path


def tag(context: Path, **options: object) -> str:
    return context_tag(Build(**options), context)  # type: ignore[arg-type]


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file's content": lambda at: (at / "d/b.txt").write_text("c"),
    "a file's name": lambda at: (at / "a.txt").rename(at / "c.txt"),
    "a new file": lambda at: (at / "new").write_text(""),
    "an empty directory": lambda at: (at / "empty").mkdir(),
    "a program": lambda at: (at / "a.txt").chmod(0o755),
    "a link": lambda at: (at / "l").symlink_to("a.txt"),
    "the Dockerfile": lambda at: (at / "Dockerfile").write_text("FROM scratch\n"),
    "a file that is left out no more": lambda at: (at / ".dockerignore").write_text("# nothing"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_content_has_another_tag(context: Path, change: str) -> None:
    before = tag(context)
    assert before.startswith("ctx-")
    CHANGES[change](context)
    assert tag(context) != before
    assert tag(context) == tag(context)


def test_times_owners_and_places_are_of_no_consequence(context: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = tag(context)
    os.utime(context / "a.txt", (1, 1))
    (context / "a.txt").chmod(0o600)
    assert tag(context) == before
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "moved"
    context.rename(elsewhere)
    assert tag(elsewhere) == before
    assert context_tag(Build(context="moved"), elsewhere.parent) == before
    elsewhere.rename(context)


def test_what_is_left_out_does_not_count_and_what_the_build_is_asked_for_does(context: Path) -> None:
    (context / ".dockerignore").write_text("*.log\nd\n!d/b.txt\n")
    before = tag(context)
    (context / "x.log").write_text("noise")
    (context / "d" / "ignored").write_text("noise")
    assert tag(context) == before
    (context / "d" / "b.txt").write_text("taken back")
    assert tag(context) != before
    distinct = {tag(context), tag(context, target="t"), tag(context, args={"A": "1"}), tag(context, args={"A": "2"})}
    assert len(distinct) == 4
    (context / "Other.dockerignore").write_text("*")
    (context / "Other").write_text("FROM scratch\n")
    other = tag(context, dockerfile="Other")
    (context / "a.txt").write_text("left out of this one")
    assert tag(context, dockerfile="Other") == other


def test_what_is_not_there_is_said(context: Path) -> None:
    for build, words in (
        (Build(context="nowhere"), "nowhere is no directory"),
        (Build(dockerfile="Missing"), "no Missing in ."),
    ):
        with pytest.raises(BuildError, match=words):
            context_tag(build, context)
    (context / "loop").symlink_to("loop")
    os.mkfifo(context / "pipe")
    assert tag(context)
