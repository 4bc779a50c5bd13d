"""All probes in the order in which they run, and what they cost."""

from typing import Final

from reconciler.conformance.answers import ANSWERS
from reconciler.conformance.assumptions import ASSUMPTIONS
from reconciler.conformance.held_leases import HELD_LEASES
from reconciler.conformance.lists import LISTS
from reconciler.conformance.probe import Probe
from reconciler.conformance.run_assumptions import RUN_ASSUMPTIONS
from reconciler.conformance.states import STATES

PROBES: Final[tuple[Probe, ...]] = (
    *sorted((*ASSUMPTIONS, *RUN_ASSUMPTIONS), key=lambda probe: int(probe.name[1:])),
    *HELD_LEASES,
    *ANSWERS,
    *LISTS,
    *STATES,
)
MACHINES: Final = 15
"""About so many machines are made, one after the other but for a few."""
AT_ONCE: Final = 4
MINUTES: Final = 6
"""So long it takes with the delays and rate limits of the platform; about one machine runs at a time."""
