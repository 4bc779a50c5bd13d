"""Print shell statements that set or remove the variables of clients of Fly.

The variables lead the clients to the engine. Imports nothing heavy. Each value is quoted for the shell.
"""

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Final

SHELLS: Final = ("sh", "fish")  # what bash and zsh read is sh
_URLS: Final = ("FLY_FLAPS_BASE_URL", "FLY_API_HOSTNAME", "FLY_API_BASE_URL", "FLY_UIEX_BASE_URL")
_TOKENS: Final = ("FLY_ACCESS_TOKEN", "FLY_API_TOKEN")
# `RECONCILER_TARGET` lets our own commands say "local engine". With the others a rehearsal stays on this computer.
_FIXED: Final = {
    "RECONCILER_TARGET": "local",
    "FLY_SEND_METRICS": "0",
    "FLY_NO_UPDATE_CHECK": "1",
    "FLY_NO_INCIDENTS_CHECK": "1",
}


def client_variables(url: str, token: str, home: Path) -> dict[str, str]:
    """Return the variables that lead clients of Fly to the engine at this URL.

    flyctl keeps its files below the engine's `home`: what it remembers of an app of this engine, such as the version of
    its secrets, is not true of the app of the same name on Fly.
    """
    return dict.fromkeys(_URLS, url) | dict.fromkeys(_TOKENS, token) | {"FLY_CONFIG_DIR": str(home / "flyctl")} | _FIXED


def exports(variables: Mapping[str, str], shell: str) -> str:
    """Return statements that set the variables in this shell and its child processes."""
    if shell == "fish":
        return "\n".join(f"set -gx {name} {_quoted_for_fish(value)};" for name, value in variables.items())
    return "\n".join(f"export {name}={quote(value)}" for name, value in variables.items())


def removals(shell: str) -> str:
    """Return the statements that take the variables away again."""
    word = "set -e" if shell == "fish" else "unset"
    end = ";" if shell == "fish" else ""
    return "\n".join(f"{word} {name}{end}" for name in client_variables("", "", Path()))


def _quoted_for_fish(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
