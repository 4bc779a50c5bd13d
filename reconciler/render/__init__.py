"""Values to text and JSON. Pure: nothing here prints, and nothing here shows an env value."""

from reconciler.render.diagnostics import diagnostics_json, diagnostics_text, error_text
from reconciler.render.html import plan_html
from reconciler.render.markdown import plan_markdown
from reconciler.render.plan import plan_json, plan_text
from reconciler.render.report import report_json, report_text
from reconciler.render.run import run_json, run_text
from reconciler.render.saved import parse_saved, saved_json
from reconciler.render.status import status_json, status_text

__all__ = [
    "diagnostics_json",
    "diagnostics_text",
    "error_text",
    "parse_saved",
    "plan_html",
    "plan_json",
    "plan_markdown",
    "plan_text",
    "report_json",
    "report_text",
    "run_json",
    "run_text",
    "saved_json",
    "status_json",
    "status_text",
]
