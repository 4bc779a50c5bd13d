"""How much the engine keeps: every bound on what it remembers, in one place. docs/engine-fidelity.md tells them."""

from typing import Final

DESTROYED_KEPT_S: Final = 48 * 3600  # a destroyed machine, with its versions and logs; as long as Fly tells of one
EVENTS_KEPT: Final = 50  # of each machine, the newest
VERSIONS_KEPT: Final = 100  # of each machine, the newest
LOG_LINES_KEPT: Final = 100_000  # of all machines, the newest
LOG_BYTES_KEPT: Final = 64 * 2**20
LOG_LINE_OVERHEAD: Final = 100  # bytes that a line takes besides its message
ENGINE_LOG_BYTES_KEPT: Final = 2**20  # of the engine's own log, looked at when it starts
