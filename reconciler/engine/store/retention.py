"""How much the engine retains (listed in docs/explanation/engine-fidelity.md)."""

from typing import Final

DESTROYED_KEPT_S: Final = 48 * 3600  # a destroyed machine, with versions and logs; Fly shows one as long
EVENTS_KEPT: Final = 50  # the newest of each machine
VERSIONS_KEPT: Final = 100  # the newest of each machine
LOG_LINES_KEPT: Final = 100_000  # the newest of all machines
LOG_BYTES_KEPT: Final = 64 * 2**20
LOG_LINE_OVERHEAD: Final = 100  # bytes that a line takes besides its message
ENGINE_LOG_BYTES_KEPT: Final = 2**20  # the engine's own log is cut when the engine starts
