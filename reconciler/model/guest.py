"""The sizes that a machine can have, by the kind of its CPUs."""

from typing import Final

LEAST_MB_PER_CPU: Final = {"shared": 256, "performance": 2048}  # what a preset has
MOST_MB_PER_CPU: Final = {"shared": 2048, "performance": 8192}
_PRESET_CPUS: Final = {"shared": (1, 2, 4, 6, 8), "performance": (1, 2, 4, 6, 8, 10, 12, 14, 16)}
_BEGINNINGS: Final = {"shared": "shared-cpu", "performance": "performance"}
# By the kind and number of their CPUs: `shared-cpu-1x` and so on.
PRESETS: Final = {
    (kind, cpus): f"{_BEGINNINGS[kind]}-{cpus}x" for kind, counts in _PRESET_CPUS.items() for cpus in counts
}
