"""What a benchmark gives: an amount, that of its baseline in the same minutes, and the goal of the two.

A goal is set to the ratio of the two amounts, or, where a row has several sizes, to the exponent of its growth.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Bound = Literal["under", "at most", "at least"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What the value is to be: `at most 0.62`. `aim` is what is hoped for, beyond that."""

    bound: Bound
    at: float
    aim: float | None = None

    def is_met_by(self, value: float) -> bool:
        match self.bound:
            case "under":
                return value < self.at
            case "at most":
                return value <= self.at
            case "at least":
                return value >= self.at


def under(at: float) -> Goal:
    return Goal(bound="under", at=at)


def at_most(at: float, *, aim: float | None = None) -> Goal:
    return Goal(bound="at most", at=at, aim=aim)


def at_least(at: float) -> Goal:
    return Goal(bound="at least", at=at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table.

    `unit` is s, MB, /s or a word that follows the number. `is_cpu` says that seconds are user and system time of whole
    processes, and not those of a clock.
    """

    name: str
    amount: float
    baseline: str
    baseline_amount: float
    unit: str = "s"
    is_cpu: bool = False
    goal: Goal | None = None
    exponent: float | None = None

    @property
    def value(self) -> float:
        """What the goal is set to: the exponent where there is one, else the ratio."""
        return self.amount / self.baseline_amount if self.exponent is None else self.exponent

    def as_json(self) -> dict[str, Any]:
        is_met = None if self.goal is None else self.goal.is_met_by(self.value)
        return asdict(self) | {"value": self.value, "is_met": is_met}


def exponent_of(amounts: Mapping[int, float]) -> float:
    """Return the exponent with which amounts grow with their sizes: the slope of the line through their logarithms."""
    sizes, taken = ([math.log(one) for one in values] for values in (amounts.keys(), amounts.values()))
    slope, _ = statistics.linear_regression(sizes, taken)
    return slope
