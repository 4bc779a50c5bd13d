"""httpx, without its command line, and what is known of a URL by itself.

Where click and rich are installed, `import httpx` imports its own command line (`httpx._main`) and with it both: half
of the time that the import takes. Only the command `httpx` needs that, so a stand-in takes its place meanwhile.
"""

import sys
from types import ModuleType
from urllib.parse import urlsplit

_COMMAND_LINE = "httpx._main"


def _import_httpx() -> ModuleType:
    if "httpx" in sys.modules:
        return sys.modules["httpx"]
    stand_in = ModuleType(_COMMAND_LINE)
    stand_in.main = lambda: None  # type: ignore[attr-defined]
    sys.modules[_COMMAND_LINE] = stand_in
    try:
        import httpx
    finally:
        del sys.modules[_COMMAND_LINE]
    return httpx


_import_httpx()

import httpx as httpx  # noqa: E402


def is_loopback(url: str) -> bool:
    """Whether the URL leads to this very machine."""
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")
