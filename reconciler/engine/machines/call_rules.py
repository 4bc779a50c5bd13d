"""Decide whether a call is accepted, by the machine's state and its lease.

A start, for example, is refused by the rows `CallRule("start", …, "refuse", …)`, or by the lease rule for "start".
docs/engine-fidelity.md shows both tables. `evidence` says how well a row is known: measured against the live platform
and published (L), seen in a client or an emulator (O), documented by Fly (D), or inferred (I).
"""

from typing import Final, NamedTuple

from reconciler.engine.errors import ApiFault

STILL_ACTIVE: Final = "still active"
"""The state of a machine that reads `stopped` while its last run is not reaped yet. The API never shows it."""
ANY: Final = "*"
"""Any state that no earlier row of the same call names."""


class CallRule(NamedTuple):
    """The effect of a call on a machine in one of `states`.

    `refuse` answers with `status` and `text`. The first row that matches holds.
    """

    call: str
    states: tuple[str, ...]
    effect: str
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
    CallRule("start", ("stopped", "suspended", "failed"), "start"),
    CallRule("start", ("started", "starting", "restarting"), "nothing", evidence="D"),
    CallRule("start", (STILL_ACTIVE,), "refuse", 412, "failed_precondition: machine still active, refusing to start"),
    CallRule(
        "start", ("replacing",), "refuse", 412, "failed_precondition: machine getting replaced, refusing to start"
    ),
    CallRule("start", ("destroying", "destroyed"), "refuse", 404, _GONE, "I"),
    CallRule("start", (ANY,), "refuse", 412, _NOT_STARTABLE),
    CallRule("stop", _RUNNING, "stop"),
    CallRule("stop", ("suspended",), "discard", evidence="D"),
    CallRule("stop", ("destroying", "destroyed"), "refuse", 404, _GONE, "I"),
    CallRule("stop", (ANY,), "nothing", evidence="O"),
    CallRule("restart", _RUNNING, "restart", evidence="D"),
    CallRule("restart", ("stopped", "suspended", "failed"), "start", evidence="I"),
    CallRule("restart", ("destroying", "destroyed"), "refuse", 404, _GONE, "I"),
    CallRule("restart", (ANY,), "refuse", 412, _NOT_RESTARTABLE, "I"),
    CallRule("suspend", ("started",), "suspend", evidence="D"),
    CallRule("suspend", ("suspended",), "nothing", evidence="I"),
    CallRule("suspend", ("destroying", "destroyed"), "refuse", 404, _GONE, "I"),
    CallRule("suspend", (ANY,), "refuse", 412, _NOT_SUSPENDABLE, "I"),
    CallRule("signal", ("started",), "signal", evidence="D"),
    CallRule("signal", ("destroying", "destroyed"), "refuse", 404, _GONE, "I"),
    CallRule("signal", (ANY,), "refuse", 412, _NOT_SIGNALLED, "I"),
    CallRule("cordon", ("destroying", "destroyed"), "refuse", 404, _GONE, "I"),
    CallRule("cordon", (ANY,), "cordon", evidence="D"),
    CallRule("exec", ("started",), "run", evidence="O"),
    CallRule("exec", ("destroying", "destroyed"), "refuse", 404, _GONE, "I"),
    CallRule("exec", (ANY,), "refuse", 412, _NOT_EXECUTABLE, "I"),
    CallRule("update", _RUNNING, "reboot"),
    CallRule("update", ("replacing", "stopping"), "refuse", 409, _CONCURRENT, "O"),
    CallRule("update", ("destroying", "destroyed"), "refuse", 404, _GONE),
    CallRule("update", (ANY,), "replace"),
    CallRule("destroy", ("stopped", STILL_ACTIVE, "suspended", "failed", "created"), "destroy", evidence="O"),
    CallRule("destroy", ("destroying",), "nothing", evidence="L"),
    CallRule("destroy", ("destroyed",), "refuse", 404, _GONE, "I"),
    CallRule("destroy", (ANY,), "refuse", 412, _NOT_DESTROYABLE, "O"),
    CallRule("kill", ("destroying",), "nothing"),
    CallRule("kill", ("destroyed",), "refuse", 404, _GONE, "I"),
    CallRule("kill", (ANY,), "destroy"),
)


class LeaseRule(NamedTuple):
    """What happens to calls on a machine under a lease.

    Under none it is `free`, under the caller's `own`, under someone else's `foreign`. `pass` lets the call through,
    `refuse` answers 409 at once, `wait` lets it through once the lease has ended; `404` answers that there is no lease.
    """

    calls: tuple[str, ...]
    free: str
    own: str
    foreign: str
    evidence: str = "L"


LEASE_RULES: Final = (
    LeaseRule(("start", "update", "lease"), "pass", "pass", "refuse"),
    LeaseRule(("restart", "suspend", "cordon"), "pass", "pass", "refuse", "O"),
    LeaseRule(("exec",), "pass", "refuse", "refuse"),
    LeaseRule(("stop", "destroy", "kill"), "pass", "pass", "wait"),
    LeaseRule(("release",), "404", "pass", "refuse", "O"),
    LeaseRule(("signal", "metadata", "create", "get", "list", "wait", "delete_app"), "pass", "pass", "pass", "O"),
)


def call_rule(call: str, state: str) -> CallRule:
    """Return the row for a call on a machine in this state."""
    return next(row for row in CALL_RULES if row.call == call and (state in row.states or ANY in row.states))


def decide(call: str, state: str) -> str:
    """Return the effect of a call on a machine in this state.

    Raises ApiFault where the call is refused.
    """
    row = call_rule(call, state)
    if row.effect == "refuse":
        raise ApiFault(row.status, row.text.format(state=state))
    return row.effect


def decide_lease(call: str, holder: str) -> str:
    """Return pass, refuse, wait or 404 for a call.

    `holder` of the lease is free, own or foreign.
    """
    row = next(row for row in LEASE_RULES if call in row.calls)
    return {"free": row.free, "own": row.own, "foreign": row.foreign}[holder]
