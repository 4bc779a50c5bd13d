"""Write the file that leads a browser to the dashboard of a running engine.

The browser is opened with a file and not with the address: every user can read a command line. The file has a code in
it that works once, for two minutes, and not the token.
"""

import json
import os
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import httpx

from reconciler.engine.errors import EngineStartError, cannot_use
from reconciler.engine.server.daemon import read_token

_REDIRECT: Final = "open.html"
_TIMEOUT_S: Final = 10


def write_redirect_page(home: Path, url: str) -> Path:
    """Write a private file that sends a browser to the dashboard; return its path.

    `url` is the engine's. Raises EngineStartError where the engine issues no code, or the file cannot be written.
    """
    target = json.dumps(f"{url}/#{urlencode({'code': _page_code(home, url)})}")
    page = f"<!doctype html><meta charset=utf-8><title>Local engine</title><script>location.replace({target})</script>"
    page_file = home / _REDIRECT
    try:
        page_file.unlink(missing_ok=True)
        with os.fdopen(os.open(page_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(page)
    except OSError as error:
        raise cannot_use(home, error) from error
    return page_file


def _page_code(home: Path, url: str) -> str:
    headers = {"Authorization": f"Bearer {read_token(home)}"}
    try:
        reply = httpx.post(f"{url}/engine/page-codes", headers=headers, timeout=_TIMEOUT_S, trust_env=False)
        return str(reply.raise_for_status().json()["code"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        why = f"the engine at {url} gives no access to its page: {error}"
        remedy = "`reconciler engine stop`, then `reconciler engine start`: it may be of another version"
        raise EngineStartError(why, remedy=remedy) from error
