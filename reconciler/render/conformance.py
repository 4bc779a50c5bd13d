"""Show how far a server is what we assume, as a table and as JSON."""

import textwrap
from collections.abc import Iterable
from typing import Any, Final

from reconciler.model.conformance import Conformance, ProbeResult, Verdict
from reconciler.render.redact import clean
from reconciler.render.style import FORMAT_VERSION, paint, wrapped

_HEADINGS: Final = ("PROBE", "WE ASSUME", "SEEN")
_SYMBOLS: Final = {Verdict.HOLDS: "+", Verdict.DIFFERS: "-", Verdict.UNTRIED: "!"}
_USUAL: Final = 100
_NARROWEST: Final = 20
_NAME: Final = 36


def conformance_text(
    found: Conformance, *, shows_all: bool = False, color: bool = False, width: int | None = None
) -> str:
    """Show what differs and what was not tried; with `shows_all` also what holds.

    Without a `width` a table has the usual one, and no line beside it is wrapped.
    """
    columns = width or _USUAL
    parts = []
    for verdict, title in (
        (Verdict.DIFFERS, "Differs from what we assume"),
        (Verdict.UNTRIED, "Could not be tried"),
        (Verdict.HOLDS, "Holds"),
    ):
        rows = found.of(verdict)
        if rows and (shows_all or verdict is not Verdict.HOLDS):
            is_wide = columns >= min(_NAME, max(len(clean(row.name)) for row in rows)) + 2 * _NARROWEST + 6
            shown = _table if is_wide else _list
            parts.append("\n".join([f"{title}:", *shown(rows, color=color, width=columns)]))
    counts = ", ".join(f"{len(found.of(verdict))} {word}" for verdict, word in _WORDS.items())
    ends = [f"{counts} of {len(found.results)} probes; {_made(found)}."]
    ends += [f"Not finished: {clean(failure)}" for failure in found.failures]
    ends += [f"Left: {clean(one)}" for one in found.left]
    parts += ["\n".join(wrapped(line, width, hanging=2)) for line in ends]
    return "\n\n".join(parts)


_WORDS: Final = {Verdict.HOLDS: "hold", Verdict.DIFFERS: "differ", Verdict.UNTRIED: "could not be tried"}


def conformance_json(found: Conformance) -> dict[str, Any]:
    """Return every result; the schema is `conformance`."""
    return {
        "format_version": FORMAT_VERSION,
        "url": clean(found.url),
        "app": clean(found.app),
        "conforms": found.is_conforming,
        "interrupted": found.is_interrupted,
        "counts": {verdict.value: len(found.of(verdict)) for verdict in Verdict},
        "machines": found.machines,
        "duration_s": round(found.duration_s, 1),
        "probes": [
            {
                "name": result.name,
                "group": result.group,
                "assumes": result.assumes,
                "calls": result.calls,
                "verdict": result.verdict.value,
                "seen": clean(result.seen),
            }
            for result in found.results
        ],
        "failures": [clean(failure) for failure in found.failures],
        "left": [clean(one) for one in found.left],
    }


def _made(found: Conformance) -> str:
    count = "1 machine was" if found.machines == 1 else f"{found.machines} machines were"
    left = "not all deleted" if found.left else "all deleted"
    return f"{count} made in {found.duration_s:.0f} s, {left}"


def _table(rows: Iterable[ProbeResult], *, color: bool, width: int) -> list[str]:
    """Return a table whose long cells go on below."""
    cells = [_HEADINGS, *((clean(row.name), clean(row.assumes), clean(row.seen)) for row in rows)]
    first = min(_NAME, max(len(line[0]) for line in cells))
    others = max(_NARROWEST, (width - first - 6) // 2)
    lines = []
    symbols = ["", *(_SYMBOLS[row.verdict] for row in rows)]
    for symbol, line in zip(symbols, cells, strict=True):
        columns = [textwrap.wrap(cell, size) or [""] for cell, size in zip(line, (first, others, others), strict=True)]
        for number in range(max(map(len, columns))):
            parts = [column[number] if number < len(column) else "" for column in columns]
            text = f"  {parts[0]:<{first}}  {parts[1]:<{others}}  {parts[2]}".rstrip()
            lines.append(paint(text, symbol, color=color))
    return lines


def _list(rows: Iterable[ProbeResult], *, color: bool, width: int) -> list[str]:
    """Return the same cells below each other, for a narrow terminal."""
    lines = []
    for row in rows:
        lines += [paint(f"  {clean(row.name)}", _SYMBOLS[row.verdict], color=color)]
        for word, said in (("we assume", row.assumes), ("seen", row.seen)):
            lines += wrapped(f"{word}: {clean(said)}", width, indent=4, hanging=2)
    return lines
