"""The dashboard in a real browser, where there is one: 200 machines, three widths, two colour schemes, the keyboard.

One browser and one engine for all of it, so it is one test; each step says what it expects.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.engine.server.daemon import read_token, start_engine, stop_engine
from reconciler.engine.server.open_page import write_redirect_page
from tests.support.browser import CHROMIUM, Browser, BrowserError, open_browser

pytestmark = pytest.mark.slow

HOSTILE = "<script>document.title='gone'</script><img src=x onerror=\"document.title='gone'\">"
SCRIPT = f"echo 'some words'; echo \"{HOSTILE.replace(chr(34), chr(39))}\" >&2; exit 3"
ROWS = "[...document.querySelectorAll('#groups section section')]"
PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
# Text whose contrast to what is behind it is below 4.5 to 1, the least that WCAG 2 allows.
PALE = """(() => {
  const light = ([r, g, b]) => [r, g, b].map(one => one / 255)
    .map(one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, index) => sum + one * [0.2126, 0.7152, 0.0722][index], 0);
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const behind = element => { for (let one = element; one; one = one.parentElement) {
    const paper = parts(getComputedStyle(one).backgroundColor);
    if (paper.length === 3) return paper;
  } };
  const texts = [...document.querySelectorAll("body *")].filter(one => one.checkVisibility({ visibilityProperty: true })
    && [...one.childNodes].some(child => child.nodeType === 3 && child.data.trim()));
  const ratio = (one, other) => (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
  const pale = texts.map(one =>
    [ratio(light(parts(getComputedStyle(one).color)), light(behind(one))), one.textContent]);
  return { seen: texts.length, pale: pale.filter(([found]) => found < 4.5) };
})()"""


@dataclass
class Place:
    """An engine and its clients: the API and the page."""

    home: Path
    url: str
    token: str
    api: httpx.Client
    page: Browser

    def make(self, app: str, name: str, words: list[str], *, starts: bool = False, **config: Any) -> str:
        body = {"image": "registry.example/shop:1", "init": {"exec": words}, "restart": {"policy": "no"}} | config
        made = self.api.post(f"/apps/{app}/machines", json={"name": name, "config": body, "skip_launch": not starts})
        assert made.status_code == 200, made.text
        return str(made.json()["id"])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    status = start_engine(tmp_path / "home")
    token = read_token(tmp_path / "home")
    headers = {"Authorization": f"Bearer {token}"}
    try:
        with (
            httpx.Client(base_url=f"{status.url}/v1", headers=headers, timeout=60, trust_env=False) as api,
            open_browser(tmp_path / "profile") as page,
        ):
            yield Place(tmp_path / "home", str(status.url), token, api, page)
    finally:
        stop_engine(tmp_path / "home")


def fill(place: Place) -> dict[str, str]:
    """Two hundred machines in two apps; the ids of some."""
    marks = {"reconciler_pool": "web", "reconciler_kind": "service"}
    for app in ("shop", "blog"):
        place.api.post("/apps", json={"app_name": app, "org_slug": "personal"})
    made = {}
    for number in range(170):
        name = f"web-iad-{number}"
        made[name] = place.make("shop", name, ["sleep", "1000"], starts=number in {3, 11}, metadata=marks)
    task = {"reconciler_pool": HOSTILE, "reconciler_kind": HOSTILE}
    odd = {"metadata": task, "image": HOSTILE, "env": {"A": "canary"}}
    made["task"] = place.make("shop", "task-iad-0", ["sh", "-c", SCRIPT], starts=True, **odd)
    for number in range(24):
        place.make("blog", f"app-{number}", ["sleep", "1000"], metadata={"fly_process_group": "app"})
    for number in range(5):
        place.make("blog", f"a-name-that-is-longer-than-any-phone-is-wide-{number}", ["true"])
    place.api.get(f"/apps/shop/machines/{made['task']}/wait?state=stopped")
    return made


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_page_of_two_hundred_machines(place: Place) -> None:
    made = fill(place)
    asks_for_the_token_and_keeps_it_out_of_sight(place)
    lists_groups_running_ones_first_in_natural_order(place.page)
    filters_by_words_and_by_state(place.page)
    shows_how_a_run_ended_and_runs_no_script_of_others(place, made["task"])
    for width, scheme in itertools.product([320, 768, 1280], ["light", "dark"]):
        fits(place.page, width, scheme)
    a_phone_shows_one_pane_at_a_time(place.page)
    starts_and_stops_by_keyboard_and_keeps_the_place(place, made["web-iad-100"])
    comes_back_with_the_engine(place)


def asks_for_the_token_and_keeps_it_out_of_sight(place: Place) -> None:
    page = place.page
    page.open(place.url)
    page.until("document.activeElement.id === 'token'")
    page.type("wrong")
    page.press("Enter")
    page.until("document.querySelector('#refused').textContent === 'The engine does not know this token.'")
    assert page.ask("sessionStorage.length") == 0
    door = write_redirect_page(place.home, place.url)
    page.open(door.as_uri(), leads_to=place.url)
    page.until("document.querySelector('#link').textContent === 'connected'")
    assert page.ask("[location.href, document.cookie, localStorage.length]") == [f"{place.url}/", "", 0]
    assert place.token not in page.ask("document.documentElement.outerHTML")
    assert place.token not in str(page.call("Page.getNavigationHistory"))
    page.ask("sessionStorage.clear()")
    page.open(door.as_uri(), leads_to=place.url)
    page.until("document.querySelector('#refused').textContent.startsWith('This link was used already')")
    page.type(place.token)
    page.press("Enter")
    page.until("document.querySelector('#link').textContent === 'connected'")


def lists_groups_running_ones_first_in_natural_order(page: Browser) -> None:
    page.until("document.querySelectorAll('#groups button').length === 200")
    assert page.ask("document.querySelector('#count').textContent") == "2 of 200 machines run"
    assert page.ask("[...document.querySelectorAll('#groups :is(h2, h3)')].map(one => one.innerText.split('\\n'))") == [
        ["blog 0 of 29 running"],
        ["app", "process group", "0 of 24 running"],
        ["no pool", "0 of 5 running"],
        ["shop 2 of 171 running"],
        [HOSTILE, HOSTILE, "0 of 1 running"],
        ["web", "service", "2 of 170 running"],
    ]
    web = page.ask(f"[...{ROWS}.at(-1).querySelectorAll('.name')].map(one => one.textContent)")
    rest = [f"web-iad-{number}" for number in range(170) if number not in {3, 11}]
    assert web == ["web-iad-3", "web-iad-11", *rest]


def filters_by_words_and_by_state(page: Browser) -> None:
    page.press("/")
    page.type("WEB iad-16")
    page.until("document.querySelectorAll('#groups button').length === 11")
    assert page.ask("document.querySelector('#count').textContent") == "11 shown · 2 of 200 machines run"
    page.press("Escape")
    page.until("document.querySelectorAll('#groups button').length === 200")
    for state, count in [("running", 2), ("resting", 198), ("ended badly", 1), ("suspended", 0), ("", 200)]:
        page.ask(f"(e => {{ e.value = '{state}'; e.dispatchEvent(new Event('change')); }})(at('state'))")
        page.until(f"document.querySelectorAll('#groups button').length === {count}")


def shows_how_a_run_ended_and_runs_no_script_of_others(place: Place, task: str) -> None:
    page = place.page
    page.ask(f"document.querySelector('[data-machine=\"{task}\"]').click()")
    page.until("document.querySelector('#log .stderr')")
    assert page.ask("document.querySelector('#runs .exit').innerText") == "✗ exit code 3"
    assert page.ask(f"document.querySelector('[data-machine=\"{task}\"] .exit').innerText") == "✗ exit code 3"
    assert page.ask("at('title').firstChild.textContent") == "shop / task-iad-0"
    facts = page.ask("[...document.querySelectorAll('#facts dd')].map(one => one.textContent)")
    assert [facts[0], facts[3]] == [f"{HOSTILE} ({HOSTILE})", HOSTILE]
    assert page.ask("document.querySelector('#log .stderr').textContent").endswith(HOSTILE.replace('"', "'"))
    assert page.ask("[document.images.length, document.scripts.length, document.title]") == [0, 1, "Local engine"]
    assert '"A": "***"' in page.ask("at('config').textContent")
    assert "canary" not in page.ask("document.documentElement.outerHTML")
    with pytest.raises(BrowserError, match="TrustedHTML"):
        page.ask("document.body.insertAdjacentHTML('beforeend', '<p>')")


def fits(page: Browser, width: int, scheme: str) -> None:
    page.resize(width, 640)
    page.prefer(scheme)
    page.ask("at('config-box').open = at('events-box').open = true")
    page.ask(PAINTED)
    assert page.ask("[innerWidth, document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [
        width,
        width,
        640,
    ]
    for pane in ("groups", "detail"):
        assert page.ask(f"at('{pane}').scrollWidth - at('{pane}').clientWidth") == 0
        assert page.ask(f"at('{pane}').scrollHeight > at('{pane}').clientHeight + 100"), "it has something to scroll"
    page.ask("at('groups').scrollTop = 900; at('detail').scrollTop = 60")
    assert page.ask("[at('groups').scrollTop, at('detail').scrollTop, scrollY]") == [900, 60, 0]
    page.ask("at('groups').scrollTop = at('detail').scrollTop = 0")
    assert page.ask("at('title').getBoundingClientRect().top < 200")
    colours = page.ask(PALE)
    assert colours["seen"] > (20 if width == 320 else 600)
    assert colours["pale"] == []
    assert page.ask("getComputedStyle(document.body).backgroundColor") == {
        "light": "rgb(251, 250, 248)",
        "dark": "rgb(22, 21, 20)",
    }[scheme]  # fmt: skip


def a_phone_shows_one_pane_at_a_time(page: Browser) -> None:
    page.resize(320, 640)
    shown = "['list', 'detail'].map(id => at(id).checkVisibility({ visibilityProperty: true }))"
    page.ask("at('groups').scrollTop = 900")
    assert page.ask(shown) == [False, True]
    page.ask("at('back').focus()")
    page.press("Enter")
    assert page.ask(shown) == [True, False]
    assert page.ask("document.activeElement.getAttribute('aria-current')") == "true"
    page.press("Enter")
    assert page.ask(shown) == [False, True]
    assert page.ask("document.activeElement.id") == "title"
    page.resize(1280, 640)
    assert page.ask(shown) == [True, True]


def starts_and_stops_by_keyboard_and_keeps_the_place(place: Place, machine: str) -> None:
    page, state = place.page, f"/apps/shop/machines/{machine}"
    page.ask(f"document.querySelector('[data-machine=\"{machine}\"]').focus()")
    page.press("ArrowDown")
    page.press("ArrowUp")
    page.press("Enter")
    page.until("at('title').firstChild.textContent === 'shop / web-iad-100'")
    assert page.ask("document.querySelectorAll('#groups [tabindex=\"0\"]').length") == 1, "one stop for the Tab key"
    where = page.ask("at('groups').scrollTop")
    assert where > 1000
    for button, then in [("start", "started"), ("stop", "stopped")]:
        page.ask(f"at('{button}').focus()")
        page.press("Enter")
        page.until(f"document.querySelector('#title .state').textContent === '{then}'")
        page.until(f"at('said').textContent === '✓ {button} accepted'")
        assert place.api.get(state).json()["state"] == then
        assert page.ask("document.activeElement.id") == button
    assert "stopped by signal" in page.ask("document.querySelector('#runs .exit').innerText")
    page.press("Enter")
    assert page.ask("at('stop').getAttribute('aria-disabled')") == "true"
    place.api.post("/apps/blog/machines", json={"name": "new", "config": {"image": "i"}, "skip_launch": True})
    page.until("document.querySelectorAll('#groups button').length === 201")
    current = page.ask("document.querySelector('[aria-current=true] .name').textContent")
    assert current == "web-iad-100"
    place.api.post(f"{state}/lease", json={"ttl": 60})
    page.ask("at('start').click()")
    page.until("at('said').textContent.startsWith('✗ 409')")


def comes_back_with_the_engine(place: Place) -> None:
    page = place.page
    stop_engine(place.home)
    page.until("!at('away').hidden && at('link').textContent === 'away'")
    assert page.ask("at('start').getAttribute('aria-disabled')") == "true"
    start_engine(place.home, extra=("--port", place.url.rpartition(":")[2]))
    page.until("at('away').hidden && at('link').textContent === 'connected'")
    assert page.ask("document.querySelector('[aria-current=true] .name').textContent") == "web-iad-100"
    assert page.ask("document.querySelectorAll('#groups button').length") == 201
