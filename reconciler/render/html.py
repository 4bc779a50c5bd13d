"""Show a plan as one HTML file, without scripts and without anything to load.

It is for small and large screens, light and dark, keyboard and screen reader.
"""

from html import escape
from typing import Final

from reconciler.model.change import Action
from reconciler.model.counted import counted
from reconciler.model.plan import Plan
from reconciler.render.changes import Group, Row
from reconciler.render.closing import closing_line
from reconciler.render.images import MERGE_LINK, build_words, variables_words
from reconciler.render.lowerings import lowering_lines
from reconciler.render.pools import by_pool, loss_words, worst_first
from reconciler.render.redact import clean
from reconciler.render.scope import scope_line

_OPEN: Final = 20  # so many changes need no click
_POOLS_IN_A_TABLE: Final = 2
_STYLE: Final = """
:root {
  color-scheme: light dark;
  --line: #8884; --add: #1a7f37; --change: #9a6700; --remove: #cf222e; --wait: #0969da;
}
@media (prefers-color-scheme: dark) {
  :root { --add: #3fb950; --change: #d29922; --remove: #f85149; --wait: #58a6ff; }
}
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .5rem 0; padding: .5rem .75rem; }
summary { cursor: pointer; overflow-wrap: anywhere; }
summary:focus-visible { outline: 2px solid var(--wait); outline-offset: 2px; }
.sign { display: inline-block; min-width: 1.6em; font-weight: 700; font-family: ui-monospace, monospace; }
.create .sign { color: var(--add); } .destroy .sign, .replace .sign { color: var(--remove); }
.update .sign, .adopt .sign { color: var(--change); } .deferred .sign, .start .sign { color: var(--wait); }
dl { margin: .5rem 0 0; border-top: 1px solid var(--line); }
dl div { padding: .35rem 0; border-bottom: 1px solid var(--line); }
dl div:last-child { border-bottom: 0; padding-bottom: 0; }
dt { font-weight: 600; } dd { margin: 0; } .by { font-weight: 400; font-size: .85em; opacity: .8; }
del { color: var(--remove); } ins { color: var(--add); } del, ins { text-decoration: none; }
@media (min-width: 48rem) {
  dl div { display: grid; grid-template-columns: 16rem 1fr; gap: 1rem; } .by { display: block; }
}
.spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.note { border-left: 4px solid var(--change); padding: .25rem .75rem; } .blocked { border-color: var(--remove); }
.note { overflow-wrap: anywhere; }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child { text-align: left; font-weight: 400; }
.slots { padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: .25rem .75rem; }
"""


def plan_html(plan: Plan, *, plan_sha256: str | None, salt: str) -> str:
    """Return the whole plan as one document."""
    title = f"Plan of {clean(plan.stack)}"
    observed = f"<p>Observed {plan.observed_at:%Y-%m-%d %H:%M:%S} UTC.</p>" if plan.observed_at else ""
    scope = f"<p>{escape(scope_line(plan.scope))}</p>" if plan.scope else ""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">""",
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{escape(title)}</h1>{scope}<p>{escape(closing_line(plan))}</p>{observed}",
        *(f'<p class="note blocked" role="alert"><b>Blocked:</b> {escape(clean(why))}</p>' for why in plan.blocked),
        *_allowed(plan),
        *(
            f'<p class="note"><b>Warning:</b> {escape(clean(why))}</p>'
            for why in (*lowering_lines(plan), *plan.warnings)
        ),
        *_losses(plan),
        *_pools(plan),
        *_changes(plan, salt),
        *_foreign(plan),
    ]
    if plan_sha256 and plan.has_changes and plan.is_reviewable:
        parts.append(f"<h2>Hash</h2><p><code>{escape(plan_sha256)}</code></p>")
        if words := variables_words(plan):
            parts.append(f'<p class="note">The plan {escape(words)}: <a href="{MERGE_LINK}">otherwise</a></p>')
    return "\n".join([*parts, "</main></body></html>"]) + "\n"


def _allowed(plan: Plan) -> list[str]:
    limit = plan.deletion_limit
    return [f'<p class="note"><b>Allowed:</b> {limit.words}</p>'] if limit and limit.is_allowed else []


def _losses(plan: Plan) -> list[str]:
    words = loss_words(plan)
    return [f'<p class="note blocked">{escape(words)}</p>'] if words else []


def _pools(plan: Plan) -> list[str]:
    columns, rows = by_pool(plan)
    if len(rows) < _POOLS_IN_A_TABLE:
        return []
    head = "".join(f'<th scope="col">{column}</th>' for column in ("pool", *columns))
    body = "".join(
        f'<tr><th scope="row"><code>{escape(f"{row.app}/{row.pool}")}</code></th>'
        + "".join(f"<td>{row.counts[column] or ''}</td>" for column in columns)
        + "</tr>"
        for row in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return [f'<div class="wide" tabindex="0" role="region" aria-label="By pool">{table}</div>']


def _changes(plan: Plan, salt: str) -> list[str]:
    if not plan.has_changes:
        return []
    apps = [
        f'<p class="create"><span class="sign">+</span> create app <code>{escape(clean(app.name))}</code>'
        f" (org <code>{escape(clean(app.org))}</code>)</p>"
        for app in plan.apps
    ]
    apps += [
        f'<p class="create"><span class="sign">+</span> allocate <code>{escape(one.kind.value)}</code>'
        f" for <code>{escape(clean(one.app))}</code>: {escape(clean(one.reason))}</p>"
        for one in plan.allocations
    ]
    apps += [
        f'<p class="create"><span class="sign">+</span> build <code>{escape(build_words(one))}</code></p>'
        for one in plan.builds
    ]
    groups = worst_first(plan)
    is_open = len(groups) <= _OPEN
    return ["<h2>Changes</h2>", *apps, *(_group(group, salt, is_open=is_open) for group in groups)]


def _group(group: Group, salt: str, *, is_open: bool) -> str:
    first = group.first
    action = Action.UPDATE if group.is_settings else first.action
    kind = "deferred" if first.deferred else action.value
    where = f"{clean(first.slot.app)}/{clean(first.slot.pool)}"
    count = "" if group.is_settings else f", {counted(len(group.changes), 'machine')}"
    slots = "" if group.is_settings else _slots(group)
    why = f"<p>{escape(group.why)}</p>" if group.why else ""
    at_once = f"<p>{escape(group.at_once)}</p>" if group.at_once else ""
    return (
        f'<details class="{kind}"{" open" if is_open else ""}>'
        f'<summary><span class="sign" aria-hidden="true">{escape(group.symbol)}</span>'
        f" {escape(group.word)} <code>{escape(where)}</code>{count}</summary>"
        f"{why}{at_once}{slots}{_fields(group.rows(salt))}</details>"
    )


def _slots(group: Group) -> str:
    names = "".join(f"<li><code>{escape(slot)}</code></li>" for slot in group.slots)
    return f'<ul class="slots">{names}</ul>'


def _fields(rows: list[Row]) -> str:
    return f"<dl>{''.join(_row(row) for row in rows)}</dl>" if rows else ""


def _row(row: Row) -> str:
    path, after = f"<code>{escape(row.path)}</code>", f"<code>{_value(row, row.after, '+')}</code>"
    if row.before is None:
        return f"<div><dt>{path}</dt><dd>{after}</dd></div>"
    before = f'<span class="spoken">now</span> <del><code>{_value(row, row.before, "-")}</code></del>'
    after = f'<span aria-hidden="true">→</span> <span class="spoken">then</span> <ins>{after}</ins>'
    by = f' <span class="by">{row.by}</span>' if row.by else ""
    return f"<div><dt>{path}{by}</dt><dd>{before} {after}</dd></div>"


def _value(row: Row, text: str, sign: str) -> str:
    """Return the value before (-) or after (+); its words that change are bold."""
    if not row.words:
        return escape(text)
    shown = [one for one in row.words if one.sign in {None, sign}]
    return "".join(f"<b>{escape(one.text)}</b>" if one.sign else escape(one.text) for one in shown)


def _foreign(plan: Plan) -> list[str]:
    ips = "".join(
        f"<li><code>{escape(clean(f'{one.app}: {one.kind} {one.ip}'))}</code>: not declared</li>"
        for one in plan.foreign_ips
    )
    lists = [f"<h2>Foreign IP addresses, left alone</h2><ul>{ips}</ul>"] if ips else []
    if not plan.foreign:
        return lists
    rows = "".join(
        f"<li><code>{escape(clean(f'{one.app}: {one.name}'))}</code> [<code>{escape(clean(one.id) or 'no id')}</code>]"
        f" {escape(one.state.value)}: {escape(clean(one.reason))}</li>"
        for one in plan.foreign
    )
    return [f"<h2>Foreign machines, left alone</h2><ul>{rows}</ul>", *lists]
