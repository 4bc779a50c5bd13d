"""Show what the checks of the set-up have found, as text and as JSON."""

from typing import Any, Final

from reconciler.model.finding import Examination, Finding, Level
from reconciler.render.redact import clean
from reconciler.render.style import paint, wrapped

_SYMBOLS: Final = {Level.OK: "+", Level.WARN: "!", Level.FAIL: "error", Level.SKIP: ""}
_FIRST: Final = 16  # columns of the level and the check


def examination_text(found: Examination, *, color: bool = False, width: int | None = None) -> str:
    """Show a line for each finding, below it how to mend it, and last the counts."""
    lines = [line for finding in found.findings for line in _lines(finding, color=color, width=width)]
    counts = [(found.count(Level.FAIL), "failed"), (found.count(Level.WARN), "to look at")]
    told = ", ".join(f"{count} {words}" for count, words in counts if count)
    return "\n".join([*lines, "", told or "Nothing is wrong."])


def _lines(finding: Finding, *, color: bool, width: int | None) -> list[str]:
    first, *rest = wrapped(clean(finding.text), width and width - _FIRST, hanging=0)
    head = paint(f"{finding.level:<5}", _SYMBOLS[finding.level], color=color)
    lines = [f"{head} {finding.check:<9} {first}", *(" " * _FIRST + line for line in rest)]
    if finding.mend and finding.level is not Level.OK:
        lines += [
            " " * _FIRST + line for line in wrapped(f"→ {clean(finding.mend)}", width and width - _FIRST, hanging=2)
        ]
    return lines


def examination_json(found: Examination) -> dict[str, Any]:
    """Return every finding, with its facts."""
    return {
        "healthy": found.is_healthy,
        "target": clean(found.target),
        "findings": [
            {
                "check": one.check,
                "level": one.level.value,
                "text": clean(one.text),
                "mend": clean(one.mend) if one.mend else None,
                "facts": {name: _cleaned(value) for name, value in one.facts.items()},
            }
            for one in found.findings
        ],
    }


def _cleaned(value: Any) -> Any:
    if isinstance(value, list):
        return [_cleaned(member) for member in value]
    return clean(value) if isinstance(value, str) else value
