"""Who acts on machines: the client that talks, the clock that measures, the name under which leases are taken."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from reconciler.clock import Clock
from reconciler.machines_api.client import MachinesClient
from reconciler.model.local_engine import LocalEngine

Emit: TypeAlias = Callable[[str], None]
"""Takes one line of progress, in words, safe to print."""


def emit_nothing(_line: str) -> None:
    """The progress of a caller who does not want any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """One acting process. `who` names it in the leases that it holds (`user@host`, a pipeline's run).

    `local` is given where the target is the local engine.
    """

    client: MachinesClient
    clock: Clock
    who: str
    emit: Emit = emit_nothing
    local: LocalEngine | None = None
