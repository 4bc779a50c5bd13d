"""The settings of an engine: latencies, and what is only assumed about Fly.

`A1`, `A2` and so on number what this project assumes about Fly and has not measured. Most are switches here, so that
tests can run with the assumption turned around. The tables of docs/explanation/engine-fidelity.md are made from this
file.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long the platform's own steps take, in seconds. Short by default."""

    prepare_s: float = field(default=0.05, metadata={"doc": "`created` until a new machine's image is ready"})
    replace_s: float = field(default=0.03, metadata={"doc": "`replacing` after an update, the image's pull included"})
    settle_s: float = field(default=0.0, metadata={"doc": "`created` once more after `replacing`, then `stopped`"})
    start_s: float = field(default=0.0, metadata={"doc": "`starting`; the reply to the start comes after it"})
    exit_s: float = field(
        default=0.0, metadata={"doc": "from a process's end until `stopped` and its exit are visible"}
    )
    reap_s: float = field(default=0.0, metadata={"doc": "after `stopped`, starts answer 412 `machine still active`"})
    destroy_s: float = field(default=0.0, metadata={"doc": "`destroying`; the name is taken meanwhile"})
    revert_s: float = field(default=0.13, metadata={"doc": "from an accepted update until its revert"})
    restart_delay_s: float = field(
        default=0.2, metadata={"doc": "before the first restart by policy; doubles, to 30 s"}
    )
    kill_timeout_s: float = field(default=5.0, metadata={"doc": "from the stop signal to the kill, by default"})
    idle_s: float = field(default=30.0, metadata={"doc": "without a connection until `autostop` stops a machine"})
    propagate_s: float = field(
        default=0.0,
        metadata={"doc": "calls on a new app answer 404, 401 and 500 by turns, until it is known everywhere"},
    )
    list_lag_s: float = field(default=0.0, metadata={"doc": "how old a list of machines is"})
    manifest_s: float = field(
        default=0.0, metadata={"doc": "an image that was never named before is `MANIFEST_UNKNOWN`, as after a push"}
    )
    cordon_s: float = field(default=0.0, metadata={"doc": "until the proxy heeds a cordon or its end"})
    app_list_lag_s: float = field(default=0.0, metadata={"doc": "pages of the list of apps lack newer apps"})


LATENCIES: Final = {
    "none": Latency(prepare_s=0.0, replace_s=0.0, restart_delay_s=0.0, idle_s=1.0),
    "small": Latency(),
    "fly": Latency(
        prepare_s=4.0,
        replace_s=3.5,
        settle_s=1.0,
        start_s=1.2,
        exit_s=1.3,
        reap_s=0.7,
        destroy_s=2.0,
        restart_delay_s=1.0,
        idle_s=300.0,
        list_lag_s=0.3,
        cordon_s=10.0,
        app_list_lag_s=3.0,
    ),
}


def _assumed(number: str, default: Any, text: str) -> Any:
    return field(default=default, metadata={"assumption": number, "doc": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """The assumptions about Fly.

    Each default is what is assumed; another value turns the assumption around.
    """

    tells_lease_description: bool = _assumed("A1", True, "GET lease returns the description")
    heeds_from_event_id: bool = _assumed(
        "A3", True, "`from_event_id`: only states that were entered later end the wait"
    )
    drops_omitted_metadata: bool = _assumed("A4", True, "an update drops the metadata that it omits")
    metadata_limit_bytes: int | None = _assumed("A5", None, "8 KB of metadata are accepted; a limit refuses with 400")
    keeps_user_config: bool = _assumed("A6", True, "versions keep their `user_config`")
    stale_version_status: int | None = _assumed(
        "A7", 409, "a stale `current_version` is refused (documented); None takes it"
    )
    refuses_bare_delete: bool = _assumed("A8", True, "a bare DELETE of a running machine is refused with 412")
    tells_previous_state: bool = _assumed("A9", True, "`previous_state` is the state that this very call found")
    takes_expired_nonce: bool = _assumed("A10", True, "an expired nonce is accepted while nobody holds a lease")
    holds_name_while_destroying: bool = _assumed("A11", True, "a name is taken until its machine is destroyed")
    exit_event_lag_s: float = _assumed("A14", 0.0, "the exit event comes together with `stopped`")
    orders_event_ids: bool = _assumed("A15", True, "event ids are ULIDs; turned around they have no order")
    takes_metadata_at_rest: bool = _assumed("A16", True, "metadata can be written on resting machines")
    tells_instance_id: bool = field(
        default=True, metadata={"doc": "a machine has the deprecated `instance_id` besides `version`"}
    )
    events_shown: int = field(
        default=5, metadata={"doc": "a machine comes with so many of its newest events; 20 were usual once"}
    )
    fills_pages: bool = field(
        default=True, metadata={"doc": "pages are as long as `limit` says, not half of that and every second one empty"}
    )
    machines_per_region: int | None = field(
        default=None, metadata={"doc": "how many machines an organization may have in a region; then creates get 422"}
    )
    settles_created: bool = field(default=True, metadata={"doc": "`skip_launch` ends in `stopped`, not in `created`"})
    enforces_names: bool = field(default=True, metadata={"doc": "machine names are unique in an app"})


NOT_SWITCHED: Final = {
    "A2": "rate limits are counted for each machine or app, whoever calls: the engine has one caller's token only",
    "A12": "proxy and scheduler ignore leases, as those of the engine do",
    "A13": "a migration may change `instance_id`: the engine does not migrate",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of an engine, by the mark `engine_settings` or by `--adversity`."""

    latency: Latency = Latency()
    behaviour: Behaviour = Behaviour()
    limits_rates: bool = False  # answers 429 beyond the documented rates


def documented() -> list[tuple[str, str, str, str]]:
    """Return (assumption, name, default, text) of each setting, for the docs."""
    return [
        (one.metadata.get("assumption", ""), one.name, str(one.default), one.metadata["doc"])
        for kind in (Behaviour, Latency)
        for one in fields(kind)
    ]
