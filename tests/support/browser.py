"""A browser of this computer, without a window, for tests of pages.

It is told what to do over a pipe, in the DevTools protocol: real viewports, real keys, and no port that others reach.
"""

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
_QUIET: Final = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-extensions --remote-debugging-pipe"
)
# It reads from file 3 and writes to file 4. A plain `sh` knows no file above 9.
_LAUNCH: Final = (
    "import fcntl, os, sys; reads, writes = (fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3]);"
    " os.dup2(reads, 3); os.dup2(writes, 4); os.execv(sys.argv[3], sys.argv[3:])"
)
_KEYS: Final = {"Enter": (13, "\r"), "Escape": (27, ""), "ArrowUp": (38, ""), "ArrowDown": (40, "")}
# The page's own changes wake the promise: nothing polls. In pages of a strict policy this is no script of theirs.
_UNTIL: Final = """new Promise(resolve => {{
  const holds = () => {{ try {{ return {condition}; }} catch {{ return false; }} }};
  const seen = () => {{ if (holds()) {{ watcher.disconnect(); resolve(true); }} }};
  const watcher = new MutationObserver(seen);
  watcher.observe(document, {{ subtree: true, childList: true, attributes: true, characterData: true }});
  seen();
}})"""


class BrowserError(Exception):
    """The browser refuses what it was told, or the page's script fails."""


class Browser:
    """One page of a browser."""

    def __init__(self, to_browser: IO[bytes], from_browser: IO[bytes]) -> None:
        self._to, self._from = to_browser, from_browser
        self._numbers = itertools.count(1)
        self._session: dict[str, str] = {}
        self._events: deque[dict[str, Any]] = deque()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        self.call("Page.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Return the result of a method of the protocol."""
        number = next(self._numbers)
        body = {"id": number, "method": method, "params": parameters} | self._session
        self._to.write(json.dumps(body).encode() + b"\0")
        self._to.flush()
        while True:
            said = self._read()
            if said.get("id") == number:
                if "error" in said:
                    raise BrowserError(said["error"]["message"])
                return said["result"]
            self._events.append(said)

    def _read(self) -> dict[str, Any]:
        content = bytearray()
        while (byte := self._from.read(1)) != b"\0":
            assert byte, "the browser has ended"
            content += byte
        return json.loads(content)

    def open(self, url: str, *, leads_to: str | None = None) -> None:
        """Go to the address, and return once its page is loaded, or that of the address it leads to.

        What is asked of a page that another one replaces may never be answered.
        """
        self._events.clear()
        self.call("Page.navigate", url=url)
        while not self._event("Page.frameNavigated")["frame"]["url"].startswith(leads_to or url):
            pass
        self._event("Page.loadEventFired")

    def _event(self, method: str) -> dict[str, Any]:
        """Return the parameters of the next event of this kind."""
        while True:
            said = self._events.popleft() if self._events else self._read()
            if said.get("method") == method:
                return said["params"]

    def ask(self, expression: str) -> Any:
        """Return the value of an expression in the page, or what its promise comes to."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def until(self, condition: str) -> None:
        """Return once the condition holds in the page."""
        self.ask(_UNTIL.format(condition=condition))

    def press(self, key: str) -> None:
        """Press a key, or type one character."""
        code, text = _KEYS.get(key, (0, key))
        event = {"key": key, "windowsVirtualKeyCode": code} | ({"text": text} if text else {})
        self.call("Input.dispatchKeyEvent", type="keyDown", **event)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def type(self, text: str) -> None:
        """Type the text where the focus is."""
        self.call("Input.insertText", text=text)

    def resize(self, width: int, height: int) -> None:
        """Give the page's viewport this size, in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, scheme: str) -> None:
        """Prefer the colour scheme, light or dark."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, file: Path) -> None:
        """Write what the page looks like as a PNG."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """Run a browser whose files are in `profile`."""
    (reads, to_browser), (from_browser, writes) = os.pipe(), os.pipe()
    command = [sys.executable, "-IS", "-c", _LAUNCH, str(reads), str(writes)]
    command += [str(CHROMIUM), *_QUIET.split(), f"--user-data-dir={profile}"]
    process = subprocess.Popen(command, pass_fds=(reads, writes), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(reads)
    os.close(writes)
    with open(to_browser, "wb") as to_pipe, open(from_browser, "rb") as from_pipe:  # noqa: PTH123
        try:
            browser = Browser(to_pipe, from_pipe)
            yield browser
            browser._session = {}
            browser.call("Browser.close")
        finally:
            process.terminate()
            process.wait()
