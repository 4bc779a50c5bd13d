"""Make the machine configs that `fly deploy` sends, in the API's spelling.

An image, metadata and volumes are no part of them. Members that Go leaves out when they are empty are left out.
"""

import base64
from collections.abc import Mapping
from typing import Any, Final

from reconciler.drafts.fly_toml.groups import Groups
from reconciler.drafts.fly_toml.patches import string_of, strings_of, table_of
from reconciler.drafts.fly_toml.services import machine_check, machine_service, web_service
from reconciler.drafts.fly_toml.values import megabytes_of, text_of, whole_of, words_of
from reconciler.errors import UsageError
from reconciler.model.guest import LEAST_MB_PER_CPU, PRESETS

Config = dict[str, Any]

RELEASE_GROUP: Final = "fly_app_release_command"
_GPU_PRESETS: Final = {
    "a100-40gb": "a100-pcie-40gb",
    "a100-80gb": "a100-sxm4-80gb",
    "l40s": "l40s",
    "a10": "a10",
}
_NUMBERS: Final = ("cpus", "memory_mb", "max_memory_mb", "gpus")
_WORDS: Final = ("cpu_kind", "gpu_kind", "host_dedication_id", "persist_rootfs")
_POLICIES: Final = {"always": "always", "never": "no", "on-failure": "on-failure"}


def group_config(document: Mapping[str, Any], groups: Groups, group: str, files: Mapping[str, Config]) -> Config:
    """Return the config of a process group's machines, but for their volumes."""
    experimental = document["experimental"]
    cmd = words_of(document["processes"].get(group, ""), f"processes.{group}") or experimental.get("cmd")
    init = {"exec": experimental.get("exec"), "entrypoint": experimental.get("entrypoint"), "cmd": cmd}
    metrics = groups.sections("metrics", group)
    size = groups.vm(group)
    return without_empty(
        {
            "env": _env(document, group),
            "init": _init(init, document),
            "guest": _guest(size, "vm", document) if size is not None else None,
            "restart": _restart(groups.sections("restart", group)),
            "stop_config": _stop_config(document),
            "files": list(files.values()),
            "services": _services(document, groups, group),
            "checks": _checks(groups, group),
            "metrics": _metrics(metrics[0]) if metrics else None,
            "statics": [_static(one) for one in document["statics"]],
        }
    )


def release_config(document: Mapping[str, Any], files: Mapping[str, Config]) -> Config | None:
    """Return the config of the release command's machine, if there is one."""
    deploy = document["deploy"]
    command = string_of(deploy.get("release_command"), "deploy.release_command")
    if not command:
        return None
    init = {
        "cmd": words_of(command, "deploy.release_command"),
        "entrypoint": document["experimental"].get("entrypoint"),
    }
    size = deploy.get("release_command_vm")
    return without_empty(
        {
            "env": {**_env(document, RELEASE_GROUP), "RELEASE_COMMAND": "1"},
            "init": _init(init, document),
            "guest": _guest(table_of(size, "deploy.release_command_vm"), "deploy.release_command_vm", document)
            if size is not None
            else None,
            "restart": {"policy": "no"},
            "stop_config": _stop_config(document),
            "files": list(files.values()),
        }
    )


def machine_files(document: Mapping[str, Any], local: Mapping[str, bytes | None]) -> dict[str, Config]:
    """Return the files by their path in the machine.

    Every group and the release command has all of them. `local` has the contents of files here, None for those that
    cannot be read: they are left out.
    """
    found: dict[str, Config] = {}
    for file in document["files"]:
        path = string_of(file.get("guest_path"), "files.guest_path")
        content = _content(file, local)
        if content:
            found[path] = {"guest_path": path} | content
    return found


def _content(file: Mapping[str, Any], local: Mapping[str, bytes | None]) -> Config | None:
    if source := string_of(file.get("local_path"), "files.local_path"):
        content = local.get(source)
        return None if content is None else {"raw_value": base64.b64encode(content).decode()}
    if secret := string_of(file.get("secret_name"), "files.secret_name"):
        return {"secret_name": secret}
    if raw := string_of(file.get("raw_value"), "files.raw_value"):
        return {"raw_value": base64.b64encode(raw.encode()).decode()}
    return None


def without_empty(members: Mapping[str, Any]) -> Config:
    """Return the members that are neither null nor empty; false and zero stay."""
    return {key: value for key, value in members.items() if value is not None and value not in ("", [], {})}


def _env(document: Mapping[str, Any], group: str) -> Config:
    region = string_of(document.get("primary_region"), "primary_region")
    return {
        **document["env"],
        "FLY_PROCESS_GROUP": group,
        **({"PRIMARY_REGION": region} if region else {}),
    }


def _init(init: Config, document: Mapping[str, Any]) -> Config:
    swap = document.get("swap_size_mb")
    return without_empty({**init, "swap_size_mb": None if swap is None else whole_of(swap, "swap_size_mb")})


def _guest(size: Mapping[str, Any], where: str, document: Mapping[str, Any]) -> Config:
    numbers = {key: whole_of(size[key], f"{where}.{key}") for key in _NUMBERS if size.get(key)}
    words = {key: string_of(size[key], f"{where}.{key}") for key in _WORDS if size.get(key)}
    preset = string_of(size.get("size"), f"{where}.size")
    guest = _preset(preset or ("performance-8x" if size.get("gpu_kind") else "shared-cpu-1x"), where)
    if dedication := string_of(document.get("host_dedication_id"), "host_dedication_id"):
        guest["host_dedication_id"] = dedication
    if memory := text_of(size.get("memory", "")):
        guest["memory_mb"] = megabytes_of(memory, f"{where}.memory")
        if not guest["memory_mb"]:
            raise UsageError(f"{where}.memory is zero", hint="flyctl refuses it too")
    kernel_args = strings_of(size.get("kernel_args"), f"{where}.kernel_args")
    return guest | words | numbers | ({"kernel_args": kernel_args} if kernel_args else {})


def _preset(name: str, where: str) -> Config:
    if name in _GPU_PRESETS:
        return {"cpu_kind": "performance", "cpus": 8, "memory_mb": 32768, "gpu_kind": _GPU_PRESETS[name], "gpus": 1}
    for (kind, cpus), preset in PRESETS.items():
        if preset == name:
            return {"cpu_kind": kind, "cpus": cpus, "memory_mb": LEAST_MB_PER_CPU[kind] * cpus}
    known = ", ".join([*PRESETS.values(), *_GPU_PRESETS])
    raise UsageError(f"{where}.size is no preset: {name!r}", hint=f"flyctl has {known}")


def _restart(sections: list[Mapping[str, Any]]) -> Config | None:
    restart = None
    for one in sections:
        policy = string_of(one.get("policy"), "restart.policy")
        if policy not in _POLICIES:
            raise UsageError(f"restart.policy is {policy!r}", hint=f"flyctl has {', '.join(_POLICIES)}")
        retries = whole_of(one.get("retries", 0), "restart.retries")
        restart = {"policy": _POLICIES[policy]} | ({"max_retries": retries} if retries else {})
    return restart


def _stop_config(document: Mapping[str, Any]) -> Config:
    signal = string_of(document.get("kill_signal"), "kill_signal")
    return without_empty({"signal": signal, "timeout": document["kill_timeout"]})


def _services(document: Mapping[str, Any], groups: Groups, group: str) -> list[Config]:
    web = groups.http_service(group)
    numbered = [
        (one, f"services[{number}]")
        for number, one in enumerate(document["services"])
        if group in groups.of(one, f"services[{number}]")
    ]
    return [*([] if web is None else [web_service(web)]), *(machine_service(one, where) for one, where in numbered)]


def _checks(groups: Groups, group: str) -> Config:
    web = groups.http_service(group)
    checks = {}
    for name, one in groups.checks(group).items():
        check = machine_check(one, f"checks.{name}")
        if "port" not in check:
            if web is None:
                raise UsageError(f"checks.{name} has no port, and its group no [http_service]", hint="set `port`")
            check["port"] = whole_of(web.get("internal_port", 0), "http_service.internal_port")
        checks[name] = check
    return checks


def _metrics(metrics: Mapping[str, Any]) -> Config:
    port = whole_of(metrics.get("port", 0), "metrics.port")
    return without_empty(
        {
            "port": port or None,
            "path": string_of(metrics.get("path"), "metrics.path"),
            "https": metrics.get("https") or None,
        }
    )


def _static(static: Mapping[str, Any]) -> Config:
    keys = ("guest_path", "url_prefix", "tigris_bucket", "index_document")
    return without_empty({key: string_of(static.get(key), f"statics.{key}") for key in keys})
