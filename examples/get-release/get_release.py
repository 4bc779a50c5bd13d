#!/usr/bin/env python3
"""Logs the latest release of a GitHub repository: get_release.py OWNER/REPO

Ends 0 with the tag on the log, or 1 with the url, the repository, the status and the body. GITHUB_API_URL says where
the API is, LOG_LEVEL and LOG_CHANNEL (stderr or stdout) how to log. Needs nothing but Python.
"""

import json
import logging
import os
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 20
BODY_SHOWN = 2000


def get_release(repository: str, api_url: str) -> int:
    url = f"{api_url.rstrip('/')}/repos/{repository}/releases/latest"
    request = urllib.request.Request(
        url, headers={"Accept": "application/vnd.github+json", "User-Agent": "get-release"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            status, body = response.status, response.read().decode("utf-8", "replace")
        tag = json.loads(body)["tag_name"]
    except urllib.error.HTTPError as error:
        return fail(url, repository, str(error.code), error.read().decode("utf-8", "replace"))
    except OSError as error:
        return fail(url, repository, "no answer", str(error))
    except (ValueError, KeyError, TypeError):
        return fail(url, repository, str(status), body)
    logging.info("The latest tag is %s", tag)
    return 0


def fail(url: str, repository: str, status: str, body: str) -> int:
    details = {"url": url, "repo": repository, "status": status, "body": body[:BODY_SHOWN]}
    logging.error("Could not retrieve repository release %s", json.dumps(details))
    return 1


def main() -> int:
    stream = sys.stdout if os.environ.get("LOG_CHANNEL") == "stdout" else sys.stderr
    level = os.environ.get("LOG_LEVEL", "info").upper()
    environment = os.environ.get("APP_ENV", "production")
    logging.basicConfig(stream=stream, level=level, format=f"{environment}.%(levelname)s: %(message)s")
    if len(sys.argv) != 2 or sys.argv[1].count("/") != 1:
        print("usage: get_release.py OWNER/REPO", file=sys.stderr)
        return 64
    return get_release(sys.argv[1], os.environ.get("GITHUB_API_URL") or "https://api.github.com")


if __name__ == "__main__":
    sys.exit(main())
