"""The HTML of a plan in a real browser, where there is one: it fits phone and desk, and a keyboard reaches it."""

import html
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CASES = Path(__file__).parents[1] / "cases" / "plan"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --virtual-time-budget=5000 --dump-dom"
)
# A frame of the phone's width, whose page is measured from outside: the plan itself allows no script.
FRAME = """<!doctype html><body><iframe style="width:{width}px;height:800px;border:0" srcdoc="{page}"></iframe><script>
document.querySelector("iframe").onload = ({{target}}) => {{
  const page = target.contentDocument, main = page.querySelector("main");
  page.querySelectorAll("details").forEach((one) => {{ one.open = true; }});
  const first = page.querySelector("summary");
  first.focus();
  document.body.textContent = [
    page.documentElement.scrollWidth <= {width}, main.scrollWidth <= main.clientWidth, page.activeElement === first,
    page.querySelectorAll("script, img, iframe").length,
  ].join(" ");
}};
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("case", ["everything", "hostile"])
def test_it_fits_the_width_and_is_reached_by_keyboard(case: str, width: int, tmp_path: Path) -> None:
    page = html.escape((CASES / case / "plan.html").read_text())
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(width=width, page=page))
    command = [str(CHROMIUM), *QUIET.split(), f"--user-data-dir={tmp_path / 'profile'}", frame.as_uri()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "true true true 0" in ended.stdout, ended.stdout[-500:]
