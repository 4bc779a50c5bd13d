"""GitHub's expressions, `${{ … }}`, as far as the workflows use them."""

import re
from collections.abc import Callable, Mapping
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>\d+)|(?P<word>[\w.-]+)|(?P<sign>&&|\|\||[!=]=|[!(),]))"
)
_TEMPLATE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_STATUS = re.compile(r"\b(always|success|failure|cancelled)\(")


class Expression:
    """Evaluates one expression. A name that is not there is None, as on GitHub; one that no context has is an error."""

    def __init__(self, text: str, contexts: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> None:
        self._tokens, place = list[tuple[str, str]](), 0
        text = text.strip()
        while place < len(text):
            found = _TOKEN.match(text, place)
            assert found, f"cannot read {text!r} from {place}"
            assert found.lastgroup
            self._tokens.append((found.lastgroup, found[found.lastgroup]))
            place = found.end()
        self._contexts, self._functions = contexts, functions

    def value(self) -> Any:
        result = self._either()
        assert not self._tokens, self._tokens
        return result

    def _next_is(self, *signs: str) -> bool:
        return bool(self._tokens) and self._tokens[0][0] == "sign" and self._tokens[0][1] in signs

    def _either(self) -> Any:
        left = self._both()
        while self._next_is("||"):
            self._tokens.pop(0)
            right = self._both()
            left = left or right
        return left

    def _both(self) -> Any:
        left = self._compared()
        while self._next_is("&&"):
            self._tokens.pop(0)
            right = self._compared()
            left = left and right
        return left

    def _compared(self) -> Any:
        left = self._one()
        while self._next_is("==", "!="):
            sign = self._tokens.pop(0)[1]
            are_equal = _comparable(left) == _comparable(self._one())
            left = are_equal if sign == "==" else not are_equal
        return left

    def _one(self) -> Any:
        kind, text = self._tokens.pop(0)
        if kind == "string":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return int(text)
        if (kind, text) == ("sign", "!"):
            return not self._one()
        if (kind, text) == ("sign", "("):
            inner = self._either()
            self._tokens.pop(0)
            return inner
        assert kind == "word", text
        if self._next_is("("):
            return self._called(text)
        if text in {"true", "false", "null"}:
            return {"true": True, "false": False, "null": None}[text]
        first, *rest = text.split(".")
        value = self._contexts[first]
        for name in rest:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def _called(self, name: str) -> Any:
        self._tokens.pop(0)
        values = []
        while not self._next_is(")"):
            values.append(self._either())
            if self._next_is(","):
                self._tokens.pop(0)
        self._tokens.pop(0)
        return self._functions[name](*values)


def _comparable(value: Any) -> Any:
    """GitHub compares strings without regard to case."""
    return value.casefold() if isinstance(value, str) else value


def as_text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _format(text: str, *values: Any) -> str:
    return re.sub(r"\{(\d+)\}", lambda found: as_text(values[int(found[1])]), text)


def evaluate(text: str, contexts: Mapping[str, Any], **functions: Callable[..., Any]) -> Any:
    """The value of an expression, with or without its braces."""
    inner = _TEMPLATE.fullmatch(text.strip())
    return Expression(inner[1] if inner else text, contexts, {"format": _format, **functions}).value()


def filled(text: Any, contexts: Mapping[str, Any]) -> str:
    """A value of the workflow with its expressions filled in."""
    return _TEMPLATE.sub(lambda found: as_text(evaluate(found[1], contexts)), as_text(text))


def holds(condition: Any, contexts: Mapping[str, Any], *, has_failed: bool, is_skipped: bool = False) -> bool:
    """Whether a job or step with this `if:` runs, after what came before it has failed or was skipped."""
    text = as_text(condition)
    is_well = not has_failed and not is_skipped
    if not text:
        return is_well
    said = evaluate(
        text,
        contexts,
        always=lambda: True,
        success=lambda: is_well,
        failure=lambda: has_failed,
        cancelled=lambda: False,
    )
    return bool(said) and (is_well or bool(_STATUS.search(text)))
