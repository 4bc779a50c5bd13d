"""One safety rule, broken on purpose: which code it is, by name and not by its text, and what becomes of it.

`in` is a file and, behind `::`, a class or function of it. `find` is a statement, an expression, or the head of a block
up to its colon. It is compared as Python reads it, so that neither spaces nor line breaks nor comments matter. `broken`
comes in its place; nothing, where it is empty.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


class MutantError(Exception):
    """The mutant doesn't apply exactly once, or changes nothing; the message says what to mend."""


@dataclass(frozen=True)
class Mutant:
    """`by` names the tests that kill it, as far as they are known."""

    rule: str
    file: str
    where: str
    find: str
    broken: str
    by: tuple[str, ...] = ()

    def applied(self, source: str) -> str:
        """Return the source of the file with the rule broken. Raises MutantError."""
        tree = ast.parse(source)
        found = list(self._places(self._scope(tree)))
        if len(found) != 1:
            raise MutantError(f"{self.file}::{self.where} has this {len(found)} times, not once: {self.find}")
        before = ast.unparse(tree)
        found[0].put(self.broken)
        after = ast.unparse(ast.fix_missing_locations(tree))
        if before == after:
            raise MutantError(f"{self.file}::{self.where}: nothing changes: {self.broken}")
        return after

    def _scope(self, tree: ast.Module) -> ast.AST:
        scope: ast.AST = tree
        for name in filter(None, self.where.split(".")):
            inner = [node for node in ast.walk(scope) if getattr(node, "name", None) == name and hasattr(node, "body")]
            if not inner:
                raise MutantError(f"{self.file} has no {self.where}: where has it gone?")
            scope = inner[0]
        return scope

    def _places(self, scope: ast.AST) -> Iterator["_Place"]:
        if self.find.endswith(":"):
            yield from (_Head(*place) for place in _nodes(scope) if _head_of(place[0]) == self.find)
            return
        wanted = ast.parse(self.find).body
        texts = [ast.unparse(statement) for statement in wanted]
        statements = list(_statements(scope, texts))
        yield from statements
        if not statements and isinstance(wanted[0], ast.Expr) and len(wanted) == 1:
            for node, parent, field, index in _nodes(scope):
                if isinstance(node, ast.expr) and ast.unparse(node) == texts[0]:
                    yield _Expression(node, parent, field, index)


@dataclass
class _Place:
    """A node, and where its parent has it."""

    node: ast.AST
    parent: ast.AST
    field: str
    index: int | None

    def put(self, broken: str) -> None:
        raise NotImplementedError

    def replace(self, new: Any) -> None:
        if self.index is None:
            setattr(self.parent, self.field, new)
        else:
            getattr(self.parent, self.field)[self.index] = new


class _Expression(_Place):
    def put(self, broken: str) -> None:
        self.replace(ast.parse(broken, mode="eval").body)


class _Head(_Place):
    """The head of a block: `if …:`, `for …:`, `except …:`, `def …:`."""

    def put(self, broken: str) -> None:
        new = _block_of(broken)
        for part in ("body", "orelse"):
            if hasattr(self.node, part) and hasattr(new, part):
                setattr(new, part, getattr(self.node, part))
        if type(new) is type(self.node):
            vars(self.node).update(vars(new))  # in place, as the scope itself is in no parent here
        else:
            self.replace(new)


@dataclass
class _Statements(_Place):
    count: int = 1

    def put(self, broken: str) -> None:
        siblings = getattr(self.parent, self.field)
        assert self.index is not None
        siblings[self.index : self.index + self.count] = ast.parse(broken or "pass").body


def _nodes(scope: ast.AST) -> Iterator[tuple[ast.AST, ast.AST, str, int | None]]:
    """Each node within the scope and the scope itself, with its parent and its place in it."""
    holder = ast.Module(body=[scope], type_ignores=[]) if isinstance(scope, ast.stmt) else scope
    for parent in ast.walk(holder):
        for field, value in ast.iter_fields(parent):
            if isinstance(value, list):
                yield from (
                    (node, parent, field, index) for index, node in enumerate(value) if isinstance(node, ast.AST)
                )
            elif isinstance(value, ast.AST):
                yield value, parent, field, None


def _statements(scope: ast.AST, texts: list[str]) -> Iterator[_Statements]:
    """Each row of statements within the scope that reads so."""
    for parent in ast.walk(scope):
        for field in ("body", "orelse", "finalbody"):
            found = getattr(parent, field, None)
            siblings = found if isinstance(found, list) else []
            for index in range(len(siblings)):
                row = siblings[index : index + len(texts)]
                if [ast.unparse(statement) for statement in row] == texts:
                    yield _Statements(row[0], parent, field, index, count=len(texts))


def _head_of(node: ast.AST) -> str | None:
    """The head of the block, as Python writes it; None of what is no block."""
    if not isinstance(getattr(node, "body", None), list) or isinstance(node, ast.Module | ast.Try):
        return None
    parts = {name: value for name, value in ast.iter_fields(node) if name != "orelse"}
    head = type(node)(**parts | {"body": [ast.Pass()]} | ({"orelse": []} if hasattr(node, "orelse") else {}))
    return ast.unparse(ast.fix_missing_locations(ast.copy_location(head, node))).strip().removesuffix("pass").rstrip()


def _block_of(head: str) -> ast.AST:
    """The block with this head, and nothing in it."""
    if head.startswith("except"):
        handled = ast.parse(f"try:\n    pass\n{head}\n    pass").body[0]
        assert isinstance(handled, ast.Try)
        return handled.handlers[0]
    if head.startswith("case "):
        matched = ast.parse(f"match _:\n    {head}\n        pass").body[0]
        assert isinstance(matched, ast.Match)
        return matched.cases[0]
    if head.startswith(("async with ", "async for ")):
        inner = ast.parse(f"async def _():\n    {head}\n        pass").body[0]
        assert isinstance(inner, ast.AsyncFunctionDef)
        return inner.body[0]
    return ast.parse(f"{head}\n    pass").body[0]


def load_mutants() -> list[Mutant]:
    """Return the mutants of the lists beside this file, one list for each package."""
    return [
        _mutant_of(entry) for file in sorted(HERE.glob("*.yaml")) for entry in yaml.safe_load(file.read_text("utf-8"))
    ]


def _mutant_of(entry: dict[str, Any]) -> Mutant:
    file, _, where = entry["in"].partition("::")
    return Mutant(
        entry["rule"], file, where, entry["find"].strip(), entry.get("broken", "").strip(), tuple(entry["by"])
    )
