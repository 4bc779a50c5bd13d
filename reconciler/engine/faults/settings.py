"""The settings of an engine: latencies, and what is only assumed about Fly.

`A1`, `A2` and so on number what this project assumes about Fly and has not measured. Most are switches here, so that
tests can run with the assumption turned around. The tables of docs/explanation/engine-fidelity.md are made from this
file.
"""

from typing import Annotated, Final, NamedTuple, get_type_hints

from msgspec import Struct
from msgspec.structs import fields


class Told(NamedTuple):
    """What the docs say of a setting, and which assumption it turns around."""

    text: str
    assumption: str = ""


class Latency(Struct, frozen=True, kw_only=True):
    """How long the platform's own steps take, in seconds. Short by default."""

    prepare_s: Annotated[float, Told("`created` until a new machine's image is ready")] = 0.05
    replace_s: Annotated[float, Told("`replacing` after an update, the image's pull included")] = 0.03
    settle_s: Annotated[float, Told("`created` once more after `replacing`, then `stopped`")] = 0.0
    start_s: Annotated[float, Told("`starting`; the reply to the start comes after it")] = 0.0
    exit_s: Annotated[float, Told("from a process's end until `stopped` and its exit are visible")] = 0.0
    reap_s: Annotated[float, Told("after `stopped`, starts answer 412 `machine still active`")] = 0.0
    destroy_s: Annotated[float, Told("`destroying`; the name is taken meanwhile")] = 0.0
    revert_s: Annotated[float, Told("from an accepted update until its revert")] = 0.13
    restart_delay_s: Annotated[float, Told("before the first restart by policy; doubles, to 30 s")] = 0.2
    kill_timeout_s: Annotated[float, Told("from the stop signal to the kill, by default")] = 5.0
    idle_s: Annotated[float, Told("without a connection until `autostop` stops a machine")] = 30.0
    propagate_s: Annotated[
        float, Told("calls on a new app answer 404, 401 and 500 by turns, until it is known everywhere")
    ] = 0.0
    list_lag_s: Annotated[float, Told("how old a list of machines is")] = 0.0
    manifest_s: Annotated[
        float, Told("an image that was never named before is `MANIFEST_UNKNOWN`, as after a push")
    ] = 0.0
    cordon_s: Annotated[float, Told("until the proxy heeds a cordon or its end")] = 0.0
    app_list_lag_s: Annotated[float, Told("pages of the list of apps lack newer apps")] = 0.0


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


class Behaviour(Struct, frozen=True, kw_only=True):
    """The assumptions about Fly.

    Each default is what is assumed; another value turns the assumption around.
    """

    tells_lease_description: Annotated[bool, Told("GET lease returns the description", "A1")] = True
    heeds_from_event_id: Annotated[
        bool, Told("`from_event_id`: only states that were entered later end the wait", "A3")
    ] = True
    drops_omitted_metadata: Annotated[bool, Told("an update drops the metadata that it omits", "A4")] = True
    metadata_limit_bytes: Annotated[
        int | None, Told("8 KB of metadata are accepted; a limit refuses with 400", "A5")
    ] = None
    keeps_user_config: Annotated[bool, Told("versions keep their `user_config`", "A6")] = True
    stale_version_status: Annotated[
        int | None, Told("a stale `current_version` is refused (documented); None takes it", "A7")
    ] = 409
    refuses_bare_delete: Annotated[bool, Told("a bare DELETE of a running machine is refused with 412", "A8")] = True
    tells_previous_state: Annotated[bool, Told("`previous_state` is the state that this very call found", "A9")] = True
    takes_expired_nonce: Annotated[bool, Told("an expired nonce is accepted while nobody holds a lease", "A10")] = True
    holds_name_while_destroying: Annotated[bool, Told("a name is taken until its machine is destroyed", "A11")] = True
    exit_event_lag_s: Annotated[float, Told("the exit event comes together with `stopped`", "A14")] = 0.0
    orders_event_ids: Annotated[bool, Told("event ids are ULIDs; turned around they have no order", "A15")] = True
    takes_metadata_at_rest: Annotated[bool, Told("metadata can be written on resting machines", "A16")] = True
    tells_instance_id: Annotated[bool, Told("a machine has the deprecated `instance_id` besides `version`")] = True
    events_shown: Annotated[int, Told("a machine comes with so many of its newest events; 20 were usual once")] = 5
    fills_pages: Annotated[
        bool, Told("pages are as long as `limit` says, not half of that and every second one empty")
    ] = True
    machines_per_region: Annotated[
        int | None, Told("how many machines an organization may have in a region; then creates get 422")
    ] = None
    settles_created: Annotated[bool, Told("`skip_launch` ends in `stopped`, not in `created`")] = True
    enforces_names: Annotated[bool, Told("machine names are unique in an app")] = True


NOT_SWITCHED: Final = {
    "A2": "rate limits are counted for each machine or app, whoever calls: the engine has one caller's token only",
    "A12": "proxy and scheduler ignore leases, as those of the engine do",
    "A13": "a migration may change `instance_id`: the engine does not migrate",
}


class Settings(Struct, frozen=True, kw_only=True):
    """The settings of an engine, by the mark `engine_settings` or by `--adversity`."""

    latency: Latency = Latency()
    behaviour: Behaviour = Behaviour()
    limits_rates: bool = False  # answers 429 beyond the documented rates


def documented() -> list[tuple[str, str, str, str]]:
    """Return (assumption, name, default, text) of each setting, for the docs."""
    return [
        (told.assumption, one.name, str(one.default), told.text)
        for kind in (Behaviour, Latency)
        for one, told in zip(fields(kind), _told(kind), strict=True)
    ]


def _told(kind: type[Struct]) -> list[Told]:
    hints = get_type_hints(kind, include_extras=True)
    return [hints[name].__metadata__[0] for name in kind.__struct_fields__]
