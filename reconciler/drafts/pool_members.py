"""Write a live config as the members of a pool.

It makes the same canonical config. What a field of the spec can say is said by it, everything else by `config:`, as
the API spells it.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any, Final

from reconciler.canonical.forms import canonical_guest, canonical_restart, canonical_rootfs, users_metadata
from reconciler.canonical.normalize import without_nullish
from reconciler.drafts.service_members import checks_of, is_duration, is_number, ports_of
from reconciler.drafts.variables import Variables, without_secrets
from reconciler.model.guest import LEAST_MB_PER_CPU, MOST_MB_PER_CPU, PRESETS
from reconciler.model.image import reference
from reconciler.model.spec import PoolKind

_GUEST: Final = frozenset({"cpu_kind", "cpus", "memory_mb", "gpu_kind", "gpus", "kernel_args"})
_POLICIES: Final = ("no", "on-failure", "always")
_DEFAULT_POLICY: Final = {PoolKind.TASK: "no", PoolKind.SERVICE: "always"}
_DEFAULT_RETRIES: Final = 10
_SCHEDULES: Final = frozenset({"hourly", "daily", "weekly", "monthly"})
_SIGNALS: Final = frozenset(
    {"SIGABRT", "SIGALRM", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGKILL"}
    | {"SIGPIPE", "SIGQUIT", "SIGSEGV", "SIGTERM", "SIGTRAP", "SIGUSR1", "SIGUSR2"}
)
_LONGEST_STOP_S: Final = 300.0
_METADATA_KEY: Final = re.compile(r"(?!fly_|fly-|reconciler_)[A-Za-z0-9_.:/-]{1,63}", re.ASCII)
_LONGEST_KEYS: Final = 200  # of all keys together, since a mark holds them
_DNS: Final = {"skip_registration": bool, "hostname": str, "hostname_fqdn": str, "nameservers": list, "searches": list}
_COMPAT_CHECKS: Final = "bg_deployments_compat"
_SAID_ELSEWHERE: Final = frozenset(
    {"image", "size", "metadata", "env", "schedule", "init", "processes", "guest", "restart"}
    | {"services", "checks", "files", "stop_config", "dns", "rootfs", "mounts"}
)


class InexpressibleError(ValueError):
    """No spec can say this config; the message says what of it."""


def declarable_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the users' metadata that a spec can declare.

    All other metadata stays on the machine as it is.
    """
    found = {key: value for key, value in users_metadata(metadata).items() if _METADATA_KEY.fullmatch(key)}
    return found if len(",".join(found)) <= _LONGEST_KEYS else {}


def pool_members(config: Mapping[str, Any], kind: PoolKind, variables: Variables, *, pool: str) -> dict[str, Any]:
    """Return the members of a pool of this name with this config.

    `image` and `env` are among them. Raises InexpressibleError.
    """
    document = without_nullish(dict(config))
    raw: dict[str, Any] = {}
    members = {
        "image": _image(document),
        **_what_runs(document, raw),
        "env": _env(document),
        **_guest(document, raw),
        **_serving(document, kind, raw),
        **_files(document, raw, variables, pool),
        **_restart(document, kind, raw),
        **_stop(document, raw),
        **_dns(document, raw),
        **_schedule(document, kind),
        "metadata": declarable_metadata(document.get("metadata") or {}),
    }
    raw |= {key: value for key, value in document.items() if key not in _SAID_ELSEWHERE}
    if rootfs := canonical_rootfs(document):
        raw["rootfs"] = rootfs
    if mounts := document.get("mounts"):
        raw["mounts"] = [_mount(one) for one in mounts]
    if kind is PoolKind.TASK and raw.get("auto_destroy"):
        raise InexpressibleError("it destroys itself after its run (auto_destroy), and machines of a task are kept")
    members["config"] = raw
    found = {key: value for key, value in members.items() if value not in ({}, [], None)}
    files = {key: found.pop(key) for key in ("files",) if key in found}  # done already
    return dict(without_secrets(found, variables, owner=pool)) | files


def _image(document: Mapping[str, Any]) -> str:
    """Return the image; of several containers any, since theirs are under `config:`."""
    containers = document.get("containers")
    first = containers[0] if isinstance(containers, list) and containers else {}
    image = document.get("image") or (first.get("image") if isinstance(first, dict) else None)
    if not isinstance(image, str) or reference(image) is None:
        raise InexpressibleError(f"its image, {image!r}, is no image reference" if image else "it has no image")
    return image


def _env(document: Mapping[str, Any]) -> dict[str, str]:
    env = {key: str(value) for key, value in (document.get("env") or {}).items()}
    if any(not key or "=" in key or "\0" in key for key in env):
        raise InexpressibleError("one of its variables has no name, or a name with = in it")
    return env


def _what_runs(document: Mapping[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    """Return `command` and `entrypoint`, or `processes`.

    Where several of the API's ways to say what runs are used at once, `config:` has all.
    """
    init, processes = dict(document.get("init") or {}), document.get("processes") or []
    members: dict[str, Any] = {}
    swap_mb = init.get("swap_size_mb")
    if is_number(swap_mb, 1, 1_048_576):
        members["swap_size_mb"] = init.pop("swap_size_mb")
    if processes and not {"exec", "cmd", "entrypoint"} & init.keys():
        fields = [_process(one) for one in processes]
        if None not in fields:
            members["processes"] = fields
            processes = []
    elif not processes and "exec" not in init:
        words = {"entrypoint": init.get("entrypoint"), "command": init.get("cmd")}
        for key, value in words.items():
            if _is_words(value):
                members[key] = value
                init.pop("cmd" if key == "command" else key)
    if processes:
        raw["processes"] = processes
    if init:
        raw["init"] = init
    return members


def _process(process: Any) -> dict[str, Any] | None:
    if not isinstance(process, dict) or not process.keys() <= {"cmd", "entrypoint", "env"}:
        return None
    env = process.get("env") or {}
    is_env = isinstance(env, dict) and all(isinstance(one, str) for one in env.values())
    if not is_env or any(not key or "=" in key for key in env) or not _is_words(process.get("cmd")):
        return None
    entrypoint = process.get("entrypoint")
    if entrypoint is not None and not _is_words(entrypoint):
        return None
    field = {"entrypoint": entrypoint, "command": process["cmd"], "env": env}
    return {key: value for key, value in field.items() if value}


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


def _guest(document: Mapping[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    guest = canonical_guest(document)
    kind, cpus, memory_mb = guest.get("cpu_kind"), guest.get("cpus"), guest.get("memory_mb")
    is_sized = kind in ("shared", "performance") and is_number(cpus, 1, 128) and is_number(memory_mb, 256, 1_048_576)
    if is_sized and guest.keys() <= _GUEST:
        least, most = LEAST_MB_PER_CPU[kind], MOST_MB_PER_CPU[kind]
        if len(guest) == 3 and (kind, cpus) in PRESETS and memory_mb == least * cpus:
            return {"guest": PRESETS[kind, cpus]}
        is_special = "gpus" in guest and not is_number(guest["gpus"], 1, 16)
        is_special |= not isinstance(guest.get("gpu_kind", ""), str) or not _is_words(guest.get("kernel_args", [""]))
        if least * cpus <= memory_mb <= most * cpus and memory_mb % 256 == 0 and not is_special:
            return {"guest": guest}
    raw["guest"] = guest
    return {}


def _restart(document: Mapping[str, Any], kind: PoolKind, raw: dict[str, Any]) -> dict[str, Any]:
    restart = canonical_restart(document)
    policy, retries = restart["policy"], restart.get("max_retries")
    if restart.keys() <= {"policy", "max_retries"} and policy in _POLICIES:
        if retries is None or (policy == "on-failure" and retries == _DEFAULT_RETRIES):
            return {} if policy == _DEFAULT_POLICY[kind] else {"restart": policy}
        if is_number(retries, 1, 1000):
            return {"restart": restart}
    raw["restart"] = restart
    return {}


def _serving(document: Mapping[str, Any], kind: PoolKind, raw: dict[str, Any]) -> dict[str, Any]:
    """Return `ports` and `checks`; a task has them under `config:` alone."""
    services, checks = document.get("services"), dict(document.get("checks") or {})
    checks = {name: check for name, check in checks.items() if not name.startswith(_COMPAT_CHECKS)}
    fields = {"ports": (services, ports_of(services)), "checks": (checks, checks_of(checks))}
    members: dict[str, Any] = {}
    for (field, (value, said)), section in zip(fields.items(), ("services", "checks"), strict=True):
        if value and said is not None and kind is PoolKind.SERVICE:
            members[field] = said
        elif value:
            raw[section] = value
    return members


def _files(
    document: Mapping[str, Any], raw: dict[str, Any], variables: Variables, pool: str
) -> dict[str, list[dict[str, Any]]]:
    files = document.get("files") or []
    paths = {one.get("guest_path") for one in files if _is_simple(one)}
    if len(paths) < len(files):
        raw["files"] = files
        return {}
    return {"files": [_file(one, variables, pool) for one in files]}


def _is_simple(file: Mapping[str, Any]) -> bool:
    """Return whether a member of the field `files` can say the file."""
    path, content, mode = file.get("guest_path"), file.get("raw_value"), file.get("mode")
    if not file.keys() <= {"guest_path", "raw_value", "mode"} or not isinstance(content, str):
        return False
    if not isinstance(path, str) or not re.match(r"/.", path) or not (mode is None or is_number(mode, 1, 0o7777)):
        return False
    try:
        return base64.b64encode(base64.b64decode(content, validate=True)).decode() == content
    except ValueError:
        return False


def _file(file: Mapping[str, Any], variables: Variables, pool: str) -> dict[str, Any]:
    """Return the file with its text, or with base64.

    A variable holds it in base64: a shell's variable loses the end of a last line.
    """
    field: dict[str, Any] = {"path": file["guest_path"]}
    content = variables.instead_of_content(file["raw_value"], path=file["guest_path"], owner=pool)
    text = _as_text(content) if isinstance(content, str) else None
    field |= {"content_base64": content} if text is None else {"content": text}
    return field | ({"mode": f"{file['mode']:o}"} if "mode" in file else {})


def _as_text(content: str) -> str | None:
    try:
        return base64.b64decode(content).decode()
    except UnicodeDecodeError:
        return None


def _stop(document: Mapping[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    stop = document.get("stop_config") or {}
    is_known = stop.keys() <= {"signal", "timeout"} and str(stop.get("signal", "SIGINT")) in _SIGNALS
    if stop and is_known and ("timeout" not in stop or is_duration(stop["timeout"], longest_s=_LONGEST_STOP_S)):
        return {"stop": stop}
    if stop:
        raw["stop_config"] = stop
    return {}


def _dns(document: Mapping[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    dns = document.get("dns") or {}
    is_known = isinstance(dns, dict) and all(
        isinstance(value, _DNS.get(key, tuple)) and (not isinstance(value, list) or _is_words(value))
        for key, value in dns.items()
    )
    if is_known:
        return {"dns": dns}
    raw["dns"] = dns
    return {}


def _schedule(document: Mapping[str, Any], kind: PoolKind) -> dict[str, Any]:
    schedule = document.get("schedule")
    if not schedule:
        return {}
    if kind is PoolKind.SERVICE:
        raise InexpressibleError("it has a schedule beside services or checks")
    if schedule not in _SCHEDULES:
        raise InexpressibleError("its schedule is none of hourly, daily, weekly and monthly")
    return {"schedule": schedule, "launch": True}


def _mount(mount: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mount.items() if key not in {"name", "size_gb", "encrypted"}}
