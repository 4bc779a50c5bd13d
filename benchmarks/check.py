"""Whether a row got slower than it was in the run that is kept: by more than a quarter, as a value of its own run.

Ratios are compared and not seconds, so another computer can check. Figures that only exist in one run are told.
"""

from collections.abc import Sequence
from typing import Any

from benchmarks.figure import Figure

FACTOR = 1.25


def slower(figures: Sequence[Figure], kept: dict[str, Any]) -> list[str]:
    """A line for each figure whose value is larger than it may be."""
    before = values(kept)
    return [
        f"{figure.name}: {figure.value:.2f}, and it was {before[figure.name]:.2f}, against {figure.baseline}"
        for figure in figures
        if figure.name in before and figure.value > FACTOR * before[figure.name]
    ]


def uncompared(figures: Sequence[Figure], kept: dict[str, Any]) -> list[str]:
    """The names of CPU rows that only one of the two runs has."""
    return sorted(values(kept).keys() ^ {figure.name for figure in figures})


def values(kept: dict[str, Any]) -> dict[str, float]:
    """The values of the kept run's CPU rows, by name."""
    return {one["name"]: one["value"] for one in kept["figures"] if one["is_cpu"]}
