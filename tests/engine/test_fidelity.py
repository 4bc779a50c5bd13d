"""The tables of docs/explanation/engine-fidelity.md are those of the engine. RECONCILER_REWRITE=1 writes them anew."""

import os
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from reconciler.engine.faults.rules import API_FAULTS, ENGINE_FAULTS, REPLY_FAULTS
from reconciler.engine.faults.settings import LATENCIES, NOT_SWITCHED, Latency, documented
from reconciler.engine.http.routes import ENDPOINTS, WEB, graphql_endpoint
from reconciler.engine.machines.call_rules import CALL_RULES, LEASE_RULES

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "engine-fidelity.md"


def table(headings: str, rows: Iterable[Iterable[str]]) -> str:
    columns = headings.split(" | ")
    lines = [f"| {headings} |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)])


def tables() -> dict[str, str]:
    numbered = {number: (name, default, text) for number, name, default, text in documented() if number}
    others = [(name, default, text) for number, name, default, text in documented() if not number]
    is_time = set(Latency.__struct_fields__)
    return {
        "transitions": table(
            "call | state | effect | answer | evidence",
            (
                (
                    row.call,
                    ", ".join(row.states),
                    row.effect,
                    f"{row.status} `{row.text}`" if row.text else str(row.status),
                    row.evidence,
                )
                for row in CALL_RULES
            ),
        ),
        "leases": table(
            "calls | no lease | one's own | someone else's | evidence",
            ((", ".join(row.calls), row.free, row.own, row.foreign, row.evidence) for row in LEASE_RULES),
        ),
        "latency": table(
            f"what | {' | '.join(LATENCIES)}",
            (
                (text, *(f"{getattr(latency, name):g} s" for latency in LATENCIES.values()))
                for _, name, _, text in documented()
                if name in is_time
            ),
        ),
        "behaviour": table(
            "assumption | switch | as assumed | what it says",
            [
                *(
                    (number, *(f"`{numbered[number][0]}`", f"`{numbered[number][1]}`", numbered[number][2]))
                    if number in numbered
                    else (number, "", "", NOT_SWITCHED[number])
                    for number in (f"A{count}" for count in range(1, 17))
                ),
                *(("", f"`{name}`", f"`{default}`", text) for name, default, text in others if name not in is_time),
            ],
        ),
        "faults": table(
            "fault | what happens", ((f"`{n}`", text) for n, text in (REPLY_FAULTS | ENGINE_FAULTS).items())
        ),
        "errors": table(
            "fault | status | text | word",
            ((f"`{n}`", str(status), f"`{text}`", word or "") for n, (status, text, word) in API_FAULTS.items()),
        ),
        "endpoints": table(
            "method | path | name in rules",
            ((one.method, f"`{one.path}`", one.call) for one in (*ENDPOINTS, *WEB, graphql_endpoint(tuple))),
        ),
    }


def _literal(text: str, _match: re.Match[str]) -> str:
    return text


def test_the_page_shows_the_engines_own_tables() -> None:
    page = written = PAGE.read_text()
    for name, text in tables().items():
        marked = f"<!-- begin: {name} -->\n{text}\n<!-- end: {name} -->"
        written, count = re.subn(
            f"<!-- begin: {name} -->.*?<!-- end: {name} -->", partial(_literal, marked), written, flags=re.DOTALL
        )
        assert count == 1, name
    if os.environ.get("RECONCILER_REWRITE"):
        PAGE.write_text(written)
        return
    assert page == written
