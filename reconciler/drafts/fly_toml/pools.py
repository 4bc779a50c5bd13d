"""Write the pools of a fly.toml.

They are a service for each process group, and the task of the release command.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from reconciler.canonical.durations import duration_words, nanoseconds
from reconciler.drafts.fly_toml.machine import Config
from reconciler.drafts.fly_toml.patches import string_of
from reconciler.drafts.fly_toml.unsaid import Unsaid
from reconciler.drafts.fly_toml.values import duration_of, gigabytes_of
from reconciler.drafts.nodes import Draft, DraftMap, block, flow
from reconciler.drafts.pool_members import pool_members
from reconciler.drafts.variables import Variables, without_secrets
from reconciler.model.spec import PoolKind

_RELEASE_TIMEOUT: Final = "5m"  # flyctl's default
_NO_IMAGE: Final = "none"  # the image is the app's
_NO_SIZE: Final = "fly.toml says no size"


def put_release(
    task: str, config: Config, deploy: Mapping[str, Any], unsaid: Sequence[Unsaid], variables: Variables
) -> DraftMap:
    """Return the tasks: that of the release command."""
    pool = DraftMap()
    pool.say(f"The release command. Run it before an apply that brings a new image:\nreconciler invoke {task}")
    for one in unsaid:
        pool.say(one.words)
    members = _members(config, PoolKind.TASK, variables, task)
    own = {key: config["env"][key] for key in ("FLY_PROCESS_GROUP", "RELEASE_COMMAND")}
    _put_members(pool, members, {"env": flow(own)}, has_size="guest" in config)
    limit = duration_of(deploy.get("release_command_timeout"), "deploy.release_command_timeout")
    limit_s = nanoseconds(limit) / 1e9 if limit else 0
    pool.put("timeout", duration_words(limit_s) if limit_s else _RELEASE_TIMEOUT)
    return block({task: pool})


def put_service(
    services: DraftMap,
    pool: str,
    group: str,
    config: Config,
    mounts: Sequence[Mapping[str, Any]],
    unsaid: Sequence[Unsaid],
    variables: Variables,
) -> list[str]:
    """Add the service of a process group, and return what to report of it."""
    draft, report = DraftMap(), []
    if pool != group:
        words = f"processes.{group}: a pool cannot have this name; it is called {pool}"
        draft.say(words)
        report.append(words)
    for one in unsaid:
        draft.say(one.words)
    members = _members(config, PoolKind.SERVICE, variables, pool)
    least = [one.get("min_machines_running", 0) for one in config.get("services", ())]
    own = {"env": flow({"FLY_PROCESS_GROUP": config["env"]["FLY_PROCESS_GROUP"]}), "count": max([1, *least])}
    _put_members(draft, members, own, has_size="guest" in config)
    if "guest" not in config:
        report.append(f"vm: {_NO_SIZE} for {group}; if `fly scale` has given its machines more, say so as `guest`")
    if config.get("guest", {}).get("gpu_kind"):
        words = f"vm.gpu_kind = {config['guest']['gpu_kind']}: the platform no longer has GPUs"
        draft.say(words)
        report.append(words)
    report += [_put_mount(draft, mount) for mount in mounts]
    services.put(pool, draft)
    return report


def _members(config: Config, kind: PoolKind, variables: Variables, pool: str) -> dict[str, Draft]:
    """Return the members of the pool, but for its image and variables.

    Under `config:` services stand as flyctl sends them, to the letter.
    """
    members = pool_members({**config, "image": _NO_IMAGE}, kind, variables, pool=pool)
    raw = members.get("config", {})
    if "services" in raw:
        raw["services"] = without_secrets(config["services"], variables, owner=pool, place="config_services")
    return {key: value for key, value in members.items() if key not in {"image", "env"}}


def _put_members(pool: DraftMap, members: dict[str, Any], own: Mapping[str, Draft], *, has_size: bool) -> None:
    """Add what runs, then what the pool alone has, then the rest."""
    first: dict[str, Draft] = {
        key: members.pop(key) for key in ("entrypoint", "command", "processes") if key in members
    }
    for key, value in {**first, **own}.items():
        pool.put(key, value)
    config = members.pop("config", None)
    for key, value in members.items():
        beside = f"{_NO_SIZE} for it" if key == "guest" and not has_size else None
        pool.put(key, _lines_of(value) if key in {"ports", "checks", "files"} else _on_a_line(value), beside=beside)
    if config:
        pool.put("config", block_of(config))


def _lines_of(value: Any) -> Draft:
    """Return a list or a map with a line for each of its members."""
    if isinstance(value, Mapping):
        return block(value)
    return [_on_a_line(one) if not isinstance(one, Mapping) or "path" not in one else block(one) for one in value]


def _on_a_line(value: Any) -> Draft:
    return flow(value) if isinstance(value, Mapping) else value


def block_of(value: Any) -> Draft:
    """Return what stands under `config:`.

    What is deep has a line for each of its members.
    """
    if isinstance(value, Mapping):
        is_deep = any(isinstance(one, Mapping) or _is_list_of_maps(one) for one in value.values())
        return block({key: block_of(one) for key, one in value.items()}) if is_deep else flow(value)
    if _is_list_of_maps(value):
        return [
            block({key: block_of(one) for key, one in item.items()}) if len(item) > 4 else block_of(item)
            for item in value
        ]
    found: Draft = value
    return found


def _is_list_of_maps(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) for one in value)


def _put_mount(pool: DraftMap, mount: Mapping[str, Any]) -> str:
    """Add a mount as a comment, and return what to report of it."""
    source = string_of(mount.get("source"), "mounts.source")
    path = string_of(mount.get("destination"), "mounts.destination")
    size = mount.get("initial_size")
    size_gb = gigabytes_of(size, "mounts.initial_size") if size else 1
    until = f"config: {{mounts: [{{volume: vol_…, path: {path}}}]}}"
    pool.say(
        f"The volume {source}, which this version cannot make. One that exists is mounted, with count: 1, by\n{until}"
    )
    pool.disable("mounts", [flow({"path": path, "size": f"{size_gb}gb"})])
    return f"mounts {source} at {path}: this version cannot make volumes; mount one that exists by {until}"
