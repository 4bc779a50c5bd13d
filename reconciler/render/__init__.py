"""Values to text and JSON. Pure: nothing here prints, and nothing here shows an env value."""

from reconciler.render.diagnostics import diagnostics_json, diagnostics_text, error_text
from reconciler.render.html import plan_html
from reconciler.render.json import json_text, plan_json
from reconciler.render.markdown import plan_markdown
from reconciler.render.report import report_json, report_text
from reconciler.render.run import run_json, run_text
from reconciler.render.saved import parse_saved, saved_json
from reconciler.render.status import status_json, status_text
from reconciler.render.style import FORMAT_VERSION
from reconciler.render.text import plan_text

__all__ = [
    "FORMAT_VERSION",
    "diagnostics_json",
    "diagnostics_text",
    "error_text",
    "json_text",
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
