"""A plan as one HTML file: nothing is loaded, no script; for phone and desk, light and dark, keyboard and reader."""

from html import escape
from typing import Final

from reconciler.model.plan import Cause, Change, FieldChange, Plan
from reconciler.render.plan import SYMBOLS_OF_DEFERRED, closing_line, grouped, why_of, word_of
from reconciler.render.style import SYMBOLS, clean, shown

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
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-top: 1px solid var(--line); }
.note { border-left: 4px solid var(--change); padding: .25rem .75rem; } .blocked { border-color: var(--remove); }
.slots { padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: .25rem .75rem; }
"""


def plan_html(plan: Plan, *, plan_sha256: str | None, salt: str) -> str:
    """The whole plan as one document."""
    title = f"Plan of {clean(plan.stack)}"
    observed = f"<p>Observed {plan.observed_at:%Y-%m-%d %H:%M:%S} UTC.</p>" if plan.observed_at else ""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">""",
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{escape(title)}</h1><p>{escape(closing_line(plan))}</p>{observed}",
        *(f'<p class="note blocked" role="alert"><b>Blocked:</b> {escape(clean(why))}</p>' for why in plan.blocked),
        *(f'<p class="note"><b>Warning:</b> {escape(clean(why))}</p>' for why in plan.warnings),
        *_changes(plan, salt),
        *_foreign(plan),
    ]
    if plan_sha256 and plan.has_changes and not plan.blocked:
        parts.append(f"<h2>Hash</h2><p><code>{escape(plan_sha256)}</code></p>")
    return "\n".join([*parts, "</main></body></html>"]) + "\n"


def _changes(plan: Plan, salt: str) -> list[str]:
    if not plan.has_changes:
        return []
    apps = [
        f'<p class="create"><span class="sign">+</span> create app <code>{escape(clean(app.name))}</code>'
        f" (org <code>{escape(clean(app.org))}</code>)</p>"
        for app in plan.apps
    ]
    return ["<h2>Changes</h2>", *apps, *(_change(group, salt) for group in grouped(plan.effective))]


def _change(group: list[Change], salt: str) -> str:
    first = group[0]
    kind = "deferred" if first.deferred else first.action.value
    sign = SYMBOLS_OF_DEFERRED if first.deferred else SYMBOLS[first.action]
    where = f"{clean(first.slot.app)}/{clean(first.slot.pool)}"
    count = f"{len(group)} machine{'' if len(group) == 1 else 's'}"
    slots = "".join(f"<li><code>{escape(change.slot.name)}</code></li>" for change in group)
    at_once = "<p>Its command is run at once.</p>" if first.runs_at_once else ""
    return (
        f'<details class="{kind}"><summary><span class="sign" aria-hidden="true">{escape(sign)}</span>'
        f" {escape(word_of(first))} <code>{escape(where)}</code>, {count}</summary>"
        f'<p>{escape(why_of(first))}</p>{at_once}<ul class="slots">{slots}</ul>{_table(first, salt)}</details>'
    )


def _table(change: Change, salt: str) -> str:
    if not change.fields:
        return ""
    rows = "".join(_row(field, salt) for field in change.fields)
    head = (
        '<tr><th scope="col">field</th><th scope="col">now</th><th scope="col">then</th><th scope="col">why</th></tr>'
    )
    return f'<div class="scroll" tabindex="0" role="region" aria-label="Fields"><table>{head}{rows}</table></div>'


def _row(field: FieldChange, salt: str) -> str:
    values = (shown(value, is_secret=field.is_secret, salt=salt) for value in (field.observed, field.desired))
    cells = "".join(f"<td><code>{escape(value)}</code></td>" for value in values)
    cause = "changed by someone else" if field.cause is Cause.DRIFT else "the spec"
    return f'<tr><th scope="row"><code>{escape(clean(field.path))}</code></th>{cells}<td>{cause}</td></tr>'


def _foreign(plan: Plan) -> list[str]:
    if not plan.foreign:
        return []
    rows = "".join(
        f"<li><code>{escape(clean(f'{one.app}: {one.name}'))}</code> [<code>{escape(one.id)}</code>]"
        f" {escape(one.state.value)}: {escape(clean(one.reason))}</li>"
        for one in plan.foreign
    )
    return [f"<h2>Foreign machines, left alone</h2><ul>{rows}</ul>"]
