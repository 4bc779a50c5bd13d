"""Where the local engine keeps its files.

Imports nothing heavy: a start of the engine begins here.
"""

from collections.abc import Mapping
from pathlib import Path


def engine_home(environment: Mapping[str, str]) -> Path:
    """Return where the local engine keeps its files.

    That is RECONCILER_HOME, else below XDG_STATE_HOME, else ~/.local/state.
    """
    if home := environment.get("RECONCILER_HOME"):
        return Path(home).expanduser().absolute()
    state = environment.get("XDG_STATE_HOME") or "~/.local/state"
    return (Path(state).expanduser() / "reconciler").absolute()
