"""What is known of a URL by itself."""

import os
import sys
from urllib.parse import urlsplit


def is_loopback(url: str) -> bool:
    """Return whether the URL leads to this very machine."""
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


def is_by_proxy(url: str) -> bool:
    """Return whether the environment names a proxy for the URL, as httpx reads it."""
    if is_loopback(url):
        return False
    from urllib.request import getproxies, proxy_bypass

    parts, proxies = urlsplit(url), getproxies()
    return bool(proxies.get(parts.scheme) or proxies.get("all")) and not proxy_bypass(parts.hostname or "")


def has_proxies() -> bool:
    """Return whether the environment names a proxy for any URL, as httpx reads it."""
    if sys.platform == "linux" and not any(name.lower().endswith("_proxy") for name in os.environ):
        return False  # elsewhere the system has settings of its own
    from urllib.request import getproxies

    proxies = getproxies()
    return any(proxies.get(scheme) for scheme in ("http", "https", "all"))


def why_proxy_is_unusable(error: Exception) -> str:
    """Say why httpx cannot use the environment's proxy, without its URL and password."""
    why = "it is a SOCKS proxy" if isinstance(error, ImportError) else "it is no http:// URL"
    return f"the proxy that HTTPS_PROXY or ALL_PROXY names cannot be used: {why}"


def why_certificates_are_unusable(error: OSError) -> str:
    """Say why httpx cannot read the CA certificates.

    They are certifi's if SSL_CERT_FILE names no others.
    """
    source = os.environ.get("SSL_CERT_FILE") or "certifi"
    return f"the CA certificates of {source} cannot be read: {error.strerror or error}"
