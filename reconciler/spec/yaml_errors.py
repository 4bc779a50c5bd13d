"""Say in a user's words why a text is no YAML, where, and what to write instead.

The parser's own words name its grammar. Here they are matched with the mistake that usually causes them.
"""

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple


class YamlMistake(NamedTuple):
    """What is wrong with a text; line and column count from 1."""

    line: int
    column: int
    message: str
    hint: str | None


_QUOTE: Final = "put the value in quotes"
_VARIABLE_IN_FLOW: Final = 'write it like "${N:-1}": in quotes it still counts as a number'
# By a part of the parser's text: what to say, and what to do.
_WORDS: Final = (
    ("found unknown escape character", "in double quotes a backslash begins an escape", "use single quotes"),
    ("could not find expected ':'", "a key without a colon before this", "write it as `key: value`"),
    ("did not find expected '-' indicator", "a list and keys at one level", "indent the list, or begin with `- `"),
    ("expected alphabetic or numeric", "`*` and `&` begin an alias or an anchor in YAML", _QUOTE),
    ("did not find expected comment or line break", "`>` and `|` begin a text on the next line in YAML", _QUOTE),
    ("did not find expected node content", "a bracket is not closed, or a value is missing", "add it"),
)
_UNCLOSED: Final = r"expected ',' or '([\]}])'"
_MARKERS: Final = ("<<<<<<<", "=======", ">>>>>>>")
_LEVEL: Final = 2


def explain(error: Any, lines: Sequence[str]) -> YamlMistake:
    """Return the mistake behind an error of the parser, for a text of these lines."""
    mark, context = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or "cannot be read")
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    line = min(line, max(len(lines), 1))
    text = lines[line - 1] if lines else ""
    found = _of_line(line, column, text)
    if found is None and (conflict := _conflict(line, lines)):
        found = conflict
    if found is None and context is not None:
        found = _of_context(problem, line, column, context, lines)
    if found is None and "mapping values are not allowed" in problem:
        found = _of_colon(line, column, lines)
    if found is None:
        said = next(((message, hint) for part, message, hint in _WORDS if part in problem), None)
        found = YamlMistake(line, column, *(said or (f"not YAML: {problem}", None)))
    return found


def _of_line(line: int, column: int, text: str) -> YamlMistake | None:
    """Return the mistake that the line itself shows."""
    indent = text[: len(text) - len(text.lstrip())]
    if other := indent.strip(" \t"):
        message = f"U+{ord(other[0]):04X} among the spaces: YAML is indented with plain spaces"
        return YamlMistake(line, indent.index(other[0]) + 1, message, "type the spaces anew")
    if "\t" in indent:
        hint = f"indent with spaces only, {_LEVEL} for each level"
        return YamlMistake(line, indent.index("\t") + 1, "a tab: YAML is indented with spaces", hint)
    sign = text[column - 1 : column]
    if sign and sign in "@`%":
        return YamlMistake(line, column, f"a value cannot begin with {sign} in YAML", _QUOTE)
    return None


def _conflict(line: int, lines: Sequence[str]) -> YamlMistake | None:
    near = (line - 1, line)
    at = next((one for one in near if one and lines[one - 1].startswith(_MARKERS)), None)
    if at is None:
        return None
    return YamlMistake(at, 1, "a merge conflict of git is left in the file", "keep one side, and remove the marks")


def _of_context(problem: str, line: int, column: int, context: Any, lines: Sequence[str]) -> YamlMistake | None:
    """Return the mistake in what the parser was reading, which begins at `context`."""
    at, begins = context.line + 1, context.column + 1
    if "unexpected end of stream" in problem:
        return YamlMistake(at, begins, "this quote is not closed", "add the closing quote")
    if unclosed := re.search(_UNCLOSED, problem):
        if variable := _line(lines, line)[: column + 1].rfind("${") + 1:
            return YamlMistake(line, variable, "a variable inside { } or [ ] needs quotes", _VARIABLE_IN_FLOW)
        sign = "[" if unclosed[1] == "]" else "{"
        hint = f"add the `{unclosed[1]}`, or a comma between two values"
        return YamlMistake(at, begins, f"this `{sign}` is not closed by line {line}", hint)
    if problem == "did not find expected key":
        return _of_key(line, column, at, begins, lines)
    if problem == "could not find expected ':'":
        return YamlMistake(at, begins, "a key without a colon", "write it as `key: value`")
    return None


def _of_key(line: int, column: int, beside: int, begins: int, lines: Sequence[str]) -> YamlMistake | None:
    """Return what stands where a key was expected."""
    text = _line(lines, line)
    before, sign = text[: column - 1], text[column - 1 : column]
    if sign and sign in "]}":
        return YamlMistake(line, column, f"this `{sign}` closes nothing", "remove it, or open it before")
    if before.rstrip().endswith(("'", '"')):
        hint = "put all of it in quotes of the other kind; in single quotes a quote is written twice: 'it''s'"
        return YamlMistake(line, column, "a text that goes on after its closing quote", hint)
    if sign == "-" and not before.strip():
        return YamlMistake(line, column, "a list item among keys", "indent it below the key whose list it is in")
    if line != beside and column != begins and not before.strip():
        return _misplaced(line, column, beside, begins, lines)
    return None


def _misplaced(line: int, column: int, beside: int, begins: int, lines: Sequence[str]) -> YamlMistake:
    above = next((one for one in range(line - 1, 0, -1) if lines[one - 1].strip()), beside)
    depths = {_indent(_line(lines, above)): above} | {begins - 1: beside}
    fitting = ", or ".join(f"{depth} spaces as line {number}" for depth, number in sorted(depths.items(), reverse=True))
    message = f"wrong indentation: no line above this has {column - 1} spaces"
    return YamlMistake(line, column, message, f"give it {fitting}")


def _of_colon(line: int, column: int, lines: Sequence[str]) -> YamlMistake:
    """Return what is wrong with a colon that begins no value: two causes."""
    text = lines[line - 1]
    indent = len(text) - len(text.lstrip())
    above = next((one for one in range(line - 1, 0, -1) if lines[one - 1].strip()), 0)
    if ":" not in text[: column - 1] and above and indent > _indent(lines[above - 1]):
        message = f"wrong indentation: deeper than line {above}, which has a value already"
        return YamlMistake(line, indent + 1, message, f"give it the {_indent(lines[above - 1])} spaces of line {above}")
    return YamlMistake(line, column, "a second `: ` in one line", f"{_QUOTE}: a text with `: ` in it needs them")


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())


def _line(lines: Sequence[str], number: int) -> str:
    return lines[number - 1] if 0 < number <= len(lines) else ""
