"""Which call does what in which state: a table, as data. Windows of time and leases are the engine's."""

from typing import Final, NamedTuple

from reconciler.engine.errors import Refused


class Answer(NamedTuple):
    """Either an effect by name, or a refusal."""

    effect: str
    status: int = 200
    text: str = ""


_NOT_STARTABLE: Final = "failed_precondition: unable to start machine from current state: '{state}'"
_GONE: Final = Answer("refuse", 404, "machine not found")
_CONCURRENT: Final = Answer("refuse", 409, "aborted: machine update failed due to concurrent update")
_NOT_DESTROYABLE: Final = Answer(
    "refuse", 412, "failed_precondition: unable to destroy machine, not currently stopped, suspended, failed or created"
)

# (call, state) -> answer; `*` stands for every other state.
TABLE: Final = {
    ("start", "stopped"): Answer("start"),
    ("start", "suspended"): Answer("start"),
    ("start", "failed"): Answer("start"),
    ("start", "started"): Answer("nothing"),
    ("start", "starting"): Answer("nothing"),
    ("start", "replacing"): Answer("refuse", 412, "failed_precondition: machine getting replaced, refusing to start"),
    ("start", "destroying"): _GONE,
    ("start", "destroyed"): _GONE,
    ("start", "*"): Answer("refuse", 412, _NOT_STARTABLE),
    ("stop", "started"): Answer("stop"),
    ("stop", "starting"): Answer("stop"),
    ("stop", "restarting"): Answer("stop"),
    ("stop", "suspended"): Answer("discard"),
    ("stop", "destroying"): _GONE,
    ("stop", "destroyed"): _GONE,
    ("stop", "*"): Answer("nothing"),
    ("update", "replacing"): _CONCURRENT,
    ("update", "destroying"): _GONE,
    ("update", "destroyed"): _GONE,
    ("update", "started"): Answer("reboot"),
    ("update", "starting"): Answer("reboot"),
    ("update", "restarting"): Answer("reboot"),
    ("update", "stopping"): _CONCURRENT,
    ("update", "*"): Answer("replace"),
    ("destroy", "stopped"): Answer("destroy"),
    ("destroy", "suspended"): Answer("destroy"),
    ("destroy", "failed"): Answer("destroy"),
    ("destroy", "created"): Answer("destroy"),
    ("destroy", "destroying"): Answer("nothing"),
    ("destroy", "destroyed"): _GONE,
    ("destroy", "*"): _NOT_DESTROYABLE,
    ("kill", "destroying"): Answer("nothing"),
    ("kill", "destroyed"): _GONE,
    ("kill", "*"): Answer("destroy"),
}


def effect_of(call: str, state: str) -> str:
    """The effect of a call on a machine in this state. Raises Refused."""
    answer = TABLE.get((call, state)) or TABLE[(call, "*")]
    if answer.effect == "refuse":
        raise Refused(answer.status, answer.text.format(state=state))
    return answer.effect
