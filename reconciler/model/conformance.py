"""What a server of the Machines API was found to do, beside what we assume of it."""

import enum

from msgspec import Struct


class Verdict(enum.Enum):
    """How a probe ended."""

    HOLDS = "holds"
    DIFFERS = "differs"
    UNTRIED = "untried"  # it could not be tried; `seen` says why


class ProbeResult(Struct, frozen=True, kw_only=True):
    """One probe: what we assume, the calls that it made, and what was seen.

    `name` is A1, A2 … for an assumption. `group` is assumption, state, lease or answer.
    """

    name: str
    group: str
    assumes: str
    calls: str
    verdict: Verdict
    seen: str


class Conformance(Struct, frozen=True, kw_only=True):
    """All results of one app that was made for them.

    `failures` says why not all was tried, `left` what could not be deleted, in words.
    """

    url: str
    app: str
    results: tuple[ProbeResult, ...] = ()
    machines: int = 0
    duration_s: float = 0.0
    is_interrupted: bool = False
    failures: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    def of(self, verdict: Verdict) -> tuple[ProbeResult, ...]:
        """Return the results with this verdict."""
        return tuple(result for result in self.results if result.verdict is verdict)

    @property
    def is_conforming(self) -> bool:
        """Return whether something was tried, all of it holds, and nothing is left."""
        return bool(self.of(Verdict.HOLDS)) and not (
            self.of(Verdict.DIFFERS) or self.failures or self.left or self.is_interrupted
        )
