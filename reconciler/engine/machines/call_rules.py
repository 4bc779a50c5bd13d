"""Decide whether a call is accepted, by the machine's state and its lease.

A start, for example, is refused by the rows `CallRule("start", …, Effect.REFUSE, …)`, or by the lease rule for "start".
docs/explanation/engine-fidelity.md shows both tables. `evidence` says how well a row is known: measured against the
live platform and published (L), seen in a client or an emulator (O), documented by Fly (D), or inferred (I).
"""

import enum
from typing import Final, NamedTuple

from reconciler.engine.errors import ApiFault

STILL_ACTIVE: Final = "still active"
"""The state of a machine that reads `stopped` while its last run is not reaped yet. The API never shows it."""
ANY: Final = "*"
"""Any state that no earlier row of the same call names."""


class Effect(enum.StrEnum):
    """What a call does to a machine."""

    START = "start"
    NOTHING = "nothing"
    REFUSE = "refuse"
    STOP = "stop"
    DISCARD = "discard"
    RESTART = "restart"
    SUSPEND = "suspend"
    SIGNAL = "signal"
    CORDON = "cordon"
    RUN = "run"
    REBOOT = "reboot"
    REPLACE = "replace"
    DESTROY = "destroy"


class LeaseEffect(enum.StrEnum):
    """What a lease does to a call: see LeaseRule."""

    PASS = "pass"
    REFUSE = "refuse"
    WAIT = "wait"
    ABSENT = "404"


class CallRule(NamedTuple):
    """The effect of a call on a machine in one of `states`.

    `refuse` answers with `status` and `text`. The first row that matches holds.
    """

    call: str
    states: tuple[str, ...]
    effect: Effect
    status: int = 200
    text: str = ""
    evidence: str = "L"


_GONE: Final = "machine not found"
_CONCURRENT: Final = "aborted: machine update failed due to concurrent update"
_NOT_STARTABLE: Final = "failed_precondition: unable to start machine from current state: '{state}'"
_NOT_DESTROYABLE: Final = (
    "failed_precondition: unable to destroy machine, not currently stopped, suspended, failed or created"
)
_NOT_RESTARTABLE: Final = "failed_precondition: unable to restart machine from current state: '{state}'"
_NOT_SUSPENDABLE: Final = "failed_precondition: unable to suspend machine from current state: '{state}'"
_NOT_SIGNALLED: Final = "failed_precondition: unable to signal machine, not currently started"
_NOT_EXECUTABLE: Final = "failed_precondition: unable to exec on machine, not currently started"
_RUNNING: Final = ("started", "starting", "restarting")

# `kill` is a destroy with force; `cordon` stands for uncordon too.
CALL_RULES: Final = (
    CallRule("start", ("stopped", "suspended", "failed"), Effect.START),
    CallRule("start", ("started", "starting", "restarting"), Effect.NOTHING, evidence="D"),
    CallRule(
        "start", (STILL_ACTIVE,), Effect.REFUSE, 412, "failed_precondition: machine still active, refusing to start"
    ),
    CallRule(
        "start", ("replacing",), Effect.REFUSE, 412, "failed_precondition: machine getting replaced, refusing to start"
    ),
    CallRule("start", ("destroying", "destroyed"), Effect.REFUSE, 404, _GONE, "I"),
    CallRule("start", (ANY,), Effect.REFUSE, 412, _NOT_STARTABLE),
    CallRule("stop", _RUNNING, Effect.STOP),
    CallRule("stop", ("suspended",), Effect.DISCARD, evidence="D"),
    CallRule("stop", ("destroying", "destroyed"), Effect.REFUSE, 404, _GONE, "I"),
    CallRule("stop", (ANY,), Effect.NOTHING, evidence="O"),
    CallRule("restart", _RUNNING, Effect.RESTART, evidence="D"),
    CallRule("restart", ("stopped", "suspended", "failed"), Effect.START, evidence="I"),
    CallRule("restart", ("destroying", "destroyed"), Effect.REFUSE, 404, _GONE, "I"),
    CallRule("restart", (ANY,), Effect.REFUSE, 412, _NOT_RESTARTABLE, "I"),
    CallRule("suspend", ("started",), Effect.SUSPEND, evidence="D"),
    CallRule("suspend", ("suspended",), Effect.NOTHING, evidence="I"),
    CallRule("suspend", ("destroying", "destroyed"), Effect.REFUSE, 404, _GONE, "I"),
    CallRule("suspend", (ANY,), Effect.REFUSE, 412, _NOT_SUSPENDABLE, "I"),
    CallRule("signal", ("started",), Effect.SIGNAL, evidence="D"),
    CallRule("signal", ("destroying", "destroyed"), Effect.REFUSE, 404, _GONE, "I"),
    CallRule("signal", (ANY,), Effect.REFUSE, 412, _NOT_SIGNALLED, "I"),
    CallRule("cordon", ("destroying", "destroyed"), Effect.REFUSE, 404, _GONE, "I"),
    CallRule("cordon", (ANY,), Effect.CORDON, evidence="D"),
    CallRule("exec", ("started",), Effect.RUN, evidence="O"),
    CallRule("exec", ("destroying", "destroyed"), Effect.REFUSE, 404, _GONE, "I"),
    CallRule("exec", (ANY,), Effect.REFUSE, 412, _NOT_EXECUTABLE, "I"),
    CallRule("update", _RUNNING, Effect.REBOOT),
    CallRule("update", ("replacing", "stopping"), Effect.REFUSE, 409, _CONCURRENT, "O"),
    CallRule("update", ("destroying", "destroyed"), Effect.REFUSE, 404, _GONE),
    CallRule("update", (ANY,), Effect.REPLACE),
    CallRule("destroy", ("stopped", STILL_ACTIVE, "suspended", "failed", "created"), Effect.DESTROY, evidence="O"),
    CallRule("destroy", ("destroying",), Effect.NOTHING, evidence="L"),
    CallRule("destroy", ("destroyed",), Effect.REFUSE, 404, _GONE, "I"),
    CallRule("destroy", (ANY,), Effect.REFUSE, 412, _NOT_DESTROYABLE, "O"),
    CallRule("kill", ("destroying",), Effect.NOTHING),
    CallRule("kill", ("destroyed",), Effect.REFUSE, 404, _GONE, "I"),
    CallRule("kill", (ANY,), Effect.DESTROY),
)


class LeaseRule(NamedTuple):
    """What happens to calls on a machine under a lease.

    Under none it is `free`, under the caller's `own`, under someone else's `foreign`. `pass` lets the call through,
    `refuse` answers 409 at once, `wait` lets it through once the lease has ended; `404` answers that there is no lease.
    """

    calls: tuple[str, ...]
    free: LeaseEffect
    own: LeaseEffect
    foreign: LeaseEffect
    evidence: str = "L"


LEASE_RULES: Final = (
    LeaseRule(("start", "update", "lease"), LeaseEffect.PASS, LeaseEffect.PASS, LeaseEffect.REFUSE),
    LeaseRule(("restart", "suspend", "cordon"), LeaseEffect.PASS, LeaseEffect.PASS, LeaseEffect.REFUSE, "O"),
    LeaseRule(("exec",), LeaseEffect.PASS, LeaseEffect.REFUSE, LeaseEffect.REFUSE),
    LeaseRule(("stop", "destroy", "kill"), LeaseEffect.PASS, LeaseEffect.PASS, LeaseEffect.WAIT),
    LeaseRule(("release",), LeaseEffect.ABSENT, LeaseEffect.PASS, LeaseEffect.REFUSE, "O"),
    LeaseRule(
        ("signal", "metadata", "create", "get", "list", "wait", "delete_app"),
        LeaseEffect.PASS,
        LeaseEffect.PASS,
        LeaseEffect.PASS,
        "O",
    ),
)


def call_rule(call: str, state: str) -> CallRule:
    """Return the row for a call on a machine in this state."""
    return next(row for row in CALL_RULES if row.call == call and (state in row.states or ANY in row.states))


def decide(call: str, state: str) -> Effect:
    """Return the effect of a call on a machine in this state.

    Raises ApiFault where the call is refused.
    """
    row = call_rule(call, state)
    if row.effect is Effect.REFUSE:
        raise ApiFault(row.status, row.text.format(state=state))
    return row.effect


def decide_lease(call: str, holder: str) -> LeaseEffect:
    """Return what the lease does to a call.

    `holder` of the lease is free, own or foreign.
    """
    row = next(row for row in LEASE_RULES if call in row.calls)
    return {"free": row.free, "own": row.own, "foreign": row.foreign}[holder]
