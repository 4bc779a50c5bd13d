"""Hooks of mkdocs, which calls them for each page.

Links to files of the repository lead there, options are not broken at their dashes, and nothing is fetched.

A page links to `../../examples/testing/client.py`, which is right where the repository is read. The site has no such
file. A page whose reading would fetch a font, a script or a picture from elsewhere is an error.
"""

import posixpath
import re
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = "https://github.com/OWNER/machines-reconciler"
ROOT: Final = Path(__file__).parent.parent
_FETCHED: Final = re.compile(
    r"<(?:script|img|iframe|source|video|link(?=[^>]*rel=\"?(?:stylesheet|preload|preconnect|icon)))\b"
    r"[^>]*?(?:src|href)=\"?((?:https?:)?//[^\"\s>]+)"
)
_BLOCK: Final = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"`[^`\n]+`")
_LONGEST_WHOLE: Final = 32
_LINK: Final = re.compile(r"(?<=\]\()(\.\./[^)\s#]+)")


def on_page_markdown(markdown: str, page: Any, **_others: Any) -> str:
    """Return the page as mkdocs wants it; called by mkdocs."""
    folder = posixpath.dirname(page.file.src_uri)
    linked = _LINK.sub(lambda link: in_repository(folder, link[1]), markdown)
    parts = _BLOCK.split(linked)  # every second one is a block of code
    parts[::2] = [_CODE.sub(_in_line, part) for part in parts[::2]]
    return "".join(parts)


def _in_line(code: re.Match[str]) -> str:
    """Return code without backslashes in tables; options do not break at dashes."""
    text = code[0].replace("\\|", "|")
    return f"{text}{{.whole}}" if text.startswith("`-") and len(text) <= _LONGEST_WHOLE else text


def in_repository(folder: str, link: str) -> str:
    """Return where a link from a folder below `docs` leads on the site.

    One that stays below `docs` is left as it is.
    """
    path = posixpath.normpath(posixpath.join("docs", folder, link))
    if path.startswith("docs/"):
        return link
    return f"{REPOSITORY}/{'tree' if (ROOT / path).is_dir() else 'blob'}/main/{path}"


def on_post_page(output: str, page: Any, **_others: Any) -> str:
    """Return the page as it is; called by mkdocs.

    Raises PluginError for a page that would fetch something.
    """
    if found := fetched(output):
        from mkdocs.exceptions import PluginError

        raise PluginError(f"{page.file.src_uri} would fetch {', '.join(found)}")
    return output


def fetched(html: str) -> list[str]:
    """Return the addresses from which a browser would fetch parts of the page."""
    found: list[str] = _FETCHED.findall(html)
    return found
