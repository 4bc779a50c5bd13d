"""What is known of a URL by itself."""

from urllib.parse import urlsplit


def is_loopback(url: str) -> bool:
    """Return whether the URL leads to this very machine."""
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")
