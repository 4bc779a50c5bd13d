"""Which machine of a service the next connection goes to. Pure: machines and their loads in, one of them out."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A machine as a connection sees it: `load` connections are its already; `hard` is None without a limit."""

    machine_id: str
    is_awake: bool
    can_wake: bool
    load: int
    soft: int
    hard: int | None


def choose(candidates: Iterable[Candidate]) -> Candidate | None:
    """The least loaded below its soft limit; else one at rest that may be woken; else the least loaded below its hard
    limit; else none: the connection has to wait.
    """
    known = sorted(candidates, key=lambda one: (one.load, one.machine_id))
    awake = [one for one in known if one.is_awake]
    if below := [one for one in awake if one.load < one.soft]:
        return below[0]
    if resting := [one for one in known if not one.is_awake and one.can_wake]:
        return resting[0]
    return next((one for one in awake if one.hard is None or one.load < one.hard), None)
