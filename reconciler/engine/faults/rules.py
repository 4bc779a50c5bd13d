"""Fault rules: what goes wrong on purpose, by `--adversity` and in tests.

A rule names a fault, and the calls, apps, machines or images that it strikes. API_FAULTS and REPLY_FAULTS are applied
around a call by `http/fault_replies.py`; the engine itself asks for ENGINE_FAULTS at the moment that they concern.
"""

import enum
import random
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from msgspec import Struct, field

from reconciler.engine.errors import ApiFault

ALWAYS: Final = -1

# Errors of the platform that have no cause inside this engine: by name, with status, text and word.
API_FAULTS: Final[dict[str, tuple[int, str, str | None]]] = {
    "host_capacity": (409, "aborted: could not reserve resource for machine: insufficient CPUs available", None),
    "host_memory": (409, "aborted: insufficient memory available to fulfill request", None),
    "host_resources": (409, "aborted: insufficient resources available to fulfill request", None),
    "region_capacity": (422, "insufficient capacity in region", "insufficient_capacity"),
    "region_capacity_503": (503, "insufficient capacity in region", "insufficient_capacity"),
    "no_capacity": (409, "resource_exhausted: region has no capacity", None),
    "volume_host_full": (
        412,
        "insufficient resources to create new machine with existing volume",
        "volume_placement_capacity",
    ),
    "volume_claimed": (412, "failed_precondition: volume already claimed by machine", None),
    "volume_bound": (412, "failed_precondition: volume is currently bound to machine", None),
    "concurrent_update": (409, "aborted: machine update failed due to concurrent update", None),
    "concurrent_replace": (409, "machine is replacing: concurrent update in progress", None),
    "not_startable": (412, "failed_precondition: unable to start machine from current state: 'created'", None),
    "getting_replaced": (412, "failed_precondition: machine getting replaced, refusing to start", None),
    "still_active": (412, "failed_precondition: machine still active, refusing to start", None),
    "stale_metadata": (412, "failed_precondition: machine_version is stale", None),
    "host_maintenance": (503, "unavailable: deploys to this host are temporarily disabled", None),
    "governor": (409, "aborted: governor policy blocked start", None),
    "image_not_ready": (400, "invalid_argument: MANIFEST_UNKNOWN: manifest unknown", None),
    "manifest_failed": (400, "invalid_argument: failed to get manifest", None),
    "wait_expired": (408, "deadline_exceeded: machine failed to reach desired state, started, currently stopped", None),
    "upstream_timeout": (408, "deadline_exceeded: upstream request timeout", None),
    "rate_limited": (429, "resource_exhausted: rate limit exceeded", None),
    "exec_under_lease": (409, "aborted: machine has an active lease", None),
    "app_unknown": (404, "app not found", None),
    "app_without_rows": (500, "sql: no rows in result set", None),
    "unauthenticated": (401, "unauthenticated", None),
    "unauthorized": (403, "unauthorized", None),
    "trial": (422, "To create more than 1 machine per app please add a payment method.", None),
    "machine_limit": (422, "the organization has reached its machine limit", None),
    "cursor_expired": (400, "invalid_argument: the cursor has expired", None),
    "server_error": (500, "unknown: it broke", None),
    "bad_gateway": (502, "<html><h1>502 Bad Gateway</h1></html>", None),
    "unavailable": (503, "unavailable: try again", None),
    "gateway_timeout": (504, "<html><h1>504 Gateway Time-out</h1></html>", None),
}


class ReplyFault(enum.StrEnum):
    """What becomes of a call's reply."""

    REFUSE_CONNECTION = "refuse_connection"
    LOSE_REQUEST = "lose_request"
    LOSE_REPLY = "lose_reply"
    HALF_REPLY = "half_reply"
    LATE_REPLY = "late_reply"
    LATE_REQUEST = "late_request"
    HTML = "html"
    EMPTY_LIST = "empty_list"


class ForeignAct(enum.StrEnum):
    """What another party does to a machine just before a call on it."""

    STEAL_LEASE = "steal_lease"
    LOSE_LEASE = "lose_lease"
    VANISH = "vanish"
    FOREIGN_START = "foreign_start"


REPLY_FAULTS: Final[dict[str, str]] = {
    ReplyFault.REFUSE_CONNECTION: "the connection breaks before anything is read",
    ReplyFault.LOSE_REQUEST: "the connection breaks, and nothing is done",
    ReplyFault.LOSE_REPLY: "the call is done, and its reply is lost",
    ReplyFault.HALF_REPLY: "the call is done, and half of its reply arrives",
    ReplyFault.LATE_REPLY: "the call is done, and its reply arrives `seconds` later",
    ReplyFault.LATE_REQUEST: "the call is done `seconds` later",
    ReplyFault.HTML: "the call is done, and the reply is a page of HTML with status 200",
    ReplyFault.EMPTY_LIST: "a list of machines is empty",
}
ENGINE_FAULTS: Final[dict[str, str]] = {
    "drop_start": "a start is accepted, and nothing starts",
    "revert_update": "an update is accepted, and reverted a moment later",
    "out_of_memory": "a run is killed for lack of memory",
    "unpullable": "the image cannot be pulled: the machine never starts, and its log says so",
    "host_unreachable": "the machine's host is down: its config is null, and calls on it time out",
    ForeignAct.STEAL_LEASE: "just before the call, someone else takes the lease",
    ForeignAct.LOSE_LEASE: "just before the call, the lease ends",
    ForeignAct.VANISH: "just before the call, someone else destroys the machine",
    ForeignAct.FOREIGN_START: (
        "just before the call, someone starts the machine whatever its lease, as proxy and scheduler do"
    ),
}
LASTING: Final = frozenset({"host_unreachable", "unpullable"})  # these strike always, unless `times` says otherwise
BEFORE_CALL_FAULTS: Final = tuple(ForeignAct)
NEVER_COMMITTED: Final = frozenset({ReplyFault.REFUSE_CONNECTION, ReplyFault.LOSE_REQUEST})


class FaultConfigError(ValueError):
    """The fault file, a rule or a setting is invalid; the message says where and why."""


class ConnectionLost(Exception):
    """The connection is cut on purpose; with `is_refused` before anything was sent."""

    def __init__(self, *, is_refused: bool = False) -> None:
        super().__init__("the connection was cut on purpose")
        self.is_refused = is_refused


class Rule(Struct, kw_only=True):
    """One fault: it strikes matching calls, after the first `after`, `times` times.

    `app`, `machine` (its name) and `image` are patterns with `*` and `?`. `share` (0 to 1) lets it strike only that
    part of the matching calls, by chance, the same ones in each engine. `request` is the number of one request, from 0.
    With `is_committed` an error comes after the call was done. `struck` counts the strikes; the rule sets it, and the
    fields after it, itself.
    """

    fault: str
    calls: tuple[str, ...] = ()
    app: str = "*"
    machine: str = "*"
    image: str = "*"
    request: int | None = None
    after: int = 0
    times: int | None = None  # None: once, or always for LASTING
    seconds: float = 120.0
    is_committed: bool = False
    share: float = 1.0
    struck: int = 0
    _met: int = 0
    _chance: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._chance.seed(self.fault)

    def strikes(self, *, call: str, app: str, machine: str, image: str, request: int | None) -> bool:
        """Return whether the rule strikes this call; counts the match."""
        if self.calls and call not in self.calls:
            return False
        if self.request is not None and request != self.request:
            return False
        pairs = ((app, self.app), (machine, self.machine), (image, self.image))
        if not all(fnmatchcase(value, pattern) for value, pattern in pairs):
            return False
        if self.share < 1 and self._chance.random() >= self.share:
            return False
        self._met += 1
        times = self.times or (ALWAYS if self.fault in LASTING or self.share < 1 else 1)
        is_struck = self._met > self.after and (times == ALWAYS or self._met <= self.after + times)
        self.struck += is_struck
        return is_struck


class FaultRules:
    """The rules in force; the first that matches strikes.

    `requests` counts the requests of the engine.
    """

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self.rules: list[Rule] = list(rules)
        self.requests: int = 0

    def add(self, fault: str, **details: Any) -> Rule:
        """Add a rule, and return it; `details` are fields of Rule."""
        rule = Rule(fault=_known(fault), **details)
        self.rules.append(rule)
        return rule

    def next_request(self) -> int:
        """Count a request, and return its number, from 0."""
        self.requests += 1
        return self.requests - 1

    def find(
        self,
        faults: Sequence[str] | dict[str, Any],
        *,
        call: str = "",
        app: str = "",
        machine: str = "",
        image: str = "",
        request: int | None = None,
    ) -> Rule | None:
        """Return the first rule of these faults that strikes."""
        for rule in self.rules:
            if rule.fault in faults and rule.strikes(call=call, app=app, machine=machine, image=image, request=request):
                return rule
        return None


def api_fault(fault: str) -> ApiFault:
    """Return the error of the platform with this name in API_FAULTS."""
    status, text, word = API_FAULTS[fault]
    return ApiFault(status, text, word)


_KEYS: Final = {
    "fault": str,
    "call": (str, list),
    "app": str,
    "machine": str,
    "image": str,
    "request": int,
    "after": int,
    "times": (int, str),
    "seconds": (int, float),
    "committed": bool,
    "share": (int, float),
}


def parse_rule(value: Any, place: str) -> Rule:
    """Return the rule of one member of `rules`; `place` is where it stands.

    Raises FaultConfigError. `rule_checks` tells whether it can ever strike.
    """
    if not isinstance(value, dict):
        raise FaultConfigError(f"{place}: expected a map with `fault`")
    for key, given in value.items():
        if key not in _KEYS:
            raise FaultConfigError(f"{place}: unknown key {key!r}; known: {', '.join(_KEYS)}")
        kind = _KEYS[key]
        if not isinstance(given, kind) or (isinstance(given, bool) and kind is not bool):  # type: ignore[arg-type]
            raise FaultConfigError(f"{place}.{key}: {given!r} makes no sense there")
    if "fault" not in value:
        raise FaultConfigError(f"{place}: which `fault`?")
    times = value.get("times")
    if isinstance(times, str) and times != "always":
        raise FaultConfigError(f"{place}.times: expected a number or `always`")
    for key, least in (("times", 1), ("after", 0), ("request", 0)):
        if isinstance(value.get(key), int) and value[key] < least:
            raise FaultConfigError(f"{place}.{key}: {value[key]} would never strike: expected {least} or more")
    call = value.get("call", ())
    share = float(value.get("share", 1.0))
    if not 0 < share <= 1:
        raise FaultConfigError(f"{place}.share: expected a number above 0 and up to 1")
    try:
        fault = _known(value["fault"])
    except FaultConfigError as error:
        raise FaultConfigError(f"{place}.fault: {error}") from error
    return Rule(
        fault=fault,
        calls=(call,) if isinstance(call, str) else tuple(map(str, call)),
        app=value.get("app", "*"),
        machine=value.get("machine", "*"),
        image=value.get("image", "*"),
        request=value.get("request"),
        after=value.get("after", 0),
        times=ALWAYS if times == "always" else times,
        seconds=float(value.get("seconds", 120.0)),
        is_committed=value.get("committed", False),
        share=share,
    )


def _known(fault: str) -> str:
    known = (*API_FAULTS, *REPLY_FAULTS, *ENGINE_FAULTS)
    if fault not in known:
        raise FaultConfigError(f"unknown fault {fault!r}; known: {', '.join(known)}")
    return fault
