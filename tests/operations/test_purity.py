"""Operations read no environment, write to no stream and ask nobody: what they need is handed in."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import reconciler

FILES = sorted((Path(reconciler.__file__).parent / "operations").rglob("*.py"))
FORBIDDEN = {"os.environ", "os.getenv", "sys.stdin", "sys.stdout", "sys.stderr", "print", "input"}


def names_in(tree: ast.AST) -> Iterator[str]:
    """Yield what is called or read by a name, or by a name of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{one.name}" for one in node.names)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_nothing_of_the_process_is_read_or_written(file: Path) -> None:
    assert not FORBIDDEN & {*names_in(ast.parse(file.read_text()))}
