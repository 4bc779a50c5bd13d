"""Who acts on machines: the client that talks, the clock that measures, the name under which leases are taken."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from reconciler.clock import Clock
from reconciler.errors import ReconcilerError, unexpected_words
from reconciler.machines_api.client import MachinesClient
from reconciler.model.local_engine import LocalEngine

Emit: TypeAlias = Callable[[str], None]
"""Takes one line of progress, in words, safe to print."""


def emit_nothing(_line: str) -> None:
    """The progress of a caller who does not want any."""


def debug_nothing(_error: Exception) -> None:
    """For a caller who does not want to know where an unexpected error came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One acting process. `who` names it in the leases that it holds (`user@host`, a pipeline's run).

    `local` is given where the target is the local engine. `debug` takes each unexpected error that did not end
    the process, to show its traceback.
    """

    client: MachinesClient
    clock: Clock
    who: str
    emit: Emit = emit_nothing
    local: LocalEngine | None = None
    debug: Callable[[Exception], None] = debug_nothing

    def explain(self, error: Exception) -> str:
        """Return what went wrong, in words; an error that is not one of ours is passed to `debug` too."""
        if isinstance(error, ReconcilerError):
            return error.message
        self.debug(error)
        return f"{unexpected_words(error)} (--debug shows where)"
