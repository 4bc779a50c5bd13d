"""Values to text and JSON. Pure: nothing here prints, and nothing here shows an env value."""

from reconciler.render.diagnostics import diagnostics_json, diagnostics_text, error_text
from reconciler.render.plan import plan_json, plan_text
from reconciler.render.report import report_json, report_text
from reconciler.render.run import run_json, run_text
from reconciler.render.status import status_json, status_text

__all__ = [
    "diagnostics_json",
    "diagnostics_text",
    "error_text",
    "plan_json",
    "plan_text",
    "report_json",
    "report_text",
    "run_json",
    "run_text",
    "status_json",
    "status_text",
]
