"""Read machine configs: check them, and return commands, files, limits, signals."""

import base64
import binascii
import re
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from reconciler.engine.config import schema
from reconciler.engine.errors import bad_request
from reconciler.engine.runtime.base import Command, Limits

_SIGNALS: Final = {
    "SIGABRT": 6,
    "SIGALRM": 14,
    "SIGFPE": 8,
    "SIGHUP": 1,
    "SIGILL": 4,
    "SIGINT": 2,
    "SIGKILL": 9,
    "SIGPIPE": 13,
    "SIGQUIT": 3,
    "SIGSEGV": 11,
    "SIGTERM": 15,
    "SIGTRAP": 5,
    "SIGUSR1": 10,
    "SIGUSR2": 12,
}
_UNITS_S: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_RESTART_POLICIES: Final = frozenset({"no", "always", "on-failure"})
_LONGEST_STOP_S: Final = 300.0
_MEMORY_MB: Final = 256
_LARGEST: Final = 2**31
LOCAL_CONTEXT: Final = "local_context"
_PLATFORM_REGION: Final = "iad"
_REGION_ALIASES: Final = frozenset({"any", "us", "na", "eu", "sa", "apac", ""})


def check_config(config: Any) -> dict[str, Any]:
    """Return the config of a create or an update.

    Raises ApiFault where it is invalid.
    """
    if not isinstance(config, dict):
        raise bad_request("config is required")
    image = config.get("image")
    if not (isinstance(image, str) and image.strip()) and not config.get("containers"):
        raise bad_request("config.image is required")
    schema.check(config, schema.CONFIG, "config")
    commands_of(config)
    files_of(config)
    mounts_of(config)
    limits_of(config)
    stop_rule(config, {}, 0)
    _check_values(config)
    return config


def _check_values(config: dict[str, Any]) -> None:
    """Raise ApiFault for values of the right type that the API refuses."""
    policy = (config.get("restart") or {}).get("policy")
    if policy and policy not in _RESTART_POLICIES:
        raise bad_request(f"invalid restart policy: {policy}")
    fraction = (config.get("spot") or {}).get("max_price_fraction")
    if fraction is not None and not 0 < fraction <= 1:
        raise bad_request("config.spot.max_price_fraction must be above 0 and at most 1")
    for mount in items_of(config, "mounts"):
        if mount.get("add_size_gb") and mount.get("add_size_percent"):
            raise bad_request("a mount grows by add_size_gb or by add_size_percent, not by both")


def commands_of(config: dict[str, Any]) -> tuple[Command, ...]:
    """Return the machine's processes, each with its own part of the environment."""
    return tuple(_command(process or {}) for process in config.get("processes") or [config.get("init")])


def _command(process: dict[str, Any]) -> Command:
    """Return the command.

    `exec` overrides entrypoint and cmd, of the config and of the image.
    """
    executed = process.get("exec")
    words = {key: _words(process[key]) if process.get(key) else None for key in ("entrypoint", "cmd")}
    return Command(
        entrypoint=_words(executed) if executed else words["entrypoint"],
        cmd=() if executed else words["cmd"],
        user=process.get("user") or None,
        env=text_map(process.get("env")),
        takes_secrets=not process.get("ignore_app_secrets"),
        secrets=tuple((str(one.get("env_var")), str(one.get("name"))) for one in process.get("secrets") or []),
        fields=tuple((str(one.get("env_var")), str(one.get("field_ref"))) for one in process.get("env_from") or []),
    )


def items_of(config: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the items of a list of objects; null is an empty one, as Go reads it."""
    return [item or {} for item in config.get(key) or []]


def _words(words: list[str | None]) -> tuple[str, ...]:
    """Return the words; null is an empty word, as Go reads it."""
    return tuple(word or "" for word in words)


def text_map(members: dict[str, str | None] | None) -> dict[str, str]:
    """Return a map of strings; null is an empty string, as Go reads it."""
    return {key: value or "" for key, value in (members or {}).items()}


def exec_request(body: dict[str, Any]) -> tuple[tuple[str, ...], bytes, float]:
    """Return the words, the stdin and the timeout in seconds of an exec call.

    Raises ApiFault.
    """
    words = body.get("command")
    if words is None and isinstance(body.get("cmd"), str):  # deprecated, but clients still send it
        try:
            import shlex

            words = shlex.split(body["cmd"])
        except ValueError as error:
            raise bad_request(f"invalid cmd: {error}") from error
    if not isinstance(words, list) or not words or not all(isinstance(word, str) and word for word in words[:1]):
        raise bad_request("command is required: an array of strings")
    if not all(isinstance(word, str) and "\0" not in word for word in words):
        raise bad_request("a command must be an array of strings")
    if body.get("machine") and body.get("container"):
        raise bad_request("machine and container exclude each other")
    return (
        tuple(words),
        str(body.get("stdin") or "").encode(),
        float(whole_number(body.get("timeout") or 60, "timeout")),
    )


def limits_of(config: dict[str, Any]) -> Limits:
    """Return what the machine may use; the default is Fly's smallest machine.

    Raises ApiFault.
    """
    guest = config.get("guest") or {}
    for key in ("memory_mb", "cpus"):
        if not 0 <= (guest.get(key) or 0) <= _LARGEST:
            raise bad_request(f"config.guest.{key} is out of range")
    return Limits(
        memory_mb=whole_number(guest.get("memory_mb") or _MEMORY_MB, "memory_mb"),
        cpus=whole_number(guest.get("cpus") or 1, "cpus"),
        swap_mb=whole_number((config.get("init") or {}).get("swap_size_mb") or 0, "swap_size_mb"),
    )


class File(NamedTuple):
    """A file to write before a start.

    `path` has no leading slash; `secret` names the secret that is its content.
    """

    path: PurePosixPath
    content: bytes
    mode: int
    secret: str | None


def files_of(config: dict[str, Any]) -> list[File]:
    """Return the files to write before a start. Raises ApiFault."""
    files = []
    for file in items_of(config, "files"):
        path = PurePosixPath(file.get("guest_path") or "")
        if not path.is_absolute() or ".." in path.parts or path == PurePosixPath("/") or "\0" in str(path):
            raise bad_request("a file's guest_path must be absolute")
        try:
            content = base64.b64decode(file.get("raw_value") or "", validate=True)
        except (binascii.Error, ValueError) as error:
            raise bad_request(f"the raw_value of {path} is not base64") from error
        mode = file.get("mode") or 0o644
        if not 0 <= mode <= 0o7777:
            raise bad_request(f"the mode of {path} is none: {mode}")
        files.append(File(path.relative_to("/"), content, mode, file.get("secret_name") or None))
    return files


def mounts_of(config: dict[str, Any]) -> list[tuple[str, PurePosixPath]]:
    """Return the id of each volume with its path, without the leading slash.

    Raises ApiFault.
    """
    mounts = []
    for mount in items_of(config, "mounts"):
        path = PurePosixPath(mount.get("path") or "/data")
        if not path.is_absolute() or ".." in path.parts or path == PurePosixPath("/"):
            raise bad_request("a mount's path must be absolute")
        if mount.get("volume"):
            mounts.append((mount["volume"], path.relative_to("/")))
    return mounts


def local_context(config: dict[str, Any]) -> Path | None:
    """Return the build context on this host that the metadata names, if any."""
    named = (config.get("metadata") or {}).get(LOCAL_CONTEXT)
    return Path(named) if named and Path(named).is_absolute() else None


def concrete_region(expression: Any) -> str:
    """Return the first region of an expression; `iad` for aliases such as `any`.

    Raises ApiFault.
    """
    first = str(expression or "").split(",")[0].strip()
    if first in _REGION_ALIASES:
        return _PLATFORM_REGION
    if not re.fullmatch(r"[a-z]{3}", first):
        raise bad_request(f"target region '{first}' not found")
    return first


def volumes_of(config: dict[str, Any]) -> list[Any]:
    """Return the ids of the volumes that the config mounts.

    No update can change them.
    """
    return [mount.get("volume") for mount in config.get("mounts") or [] if isinstance(mount, dict)]


def whole_number(value: Any, name: str) -> int:
    """Return a whole number that came in JSON or in a query. Raises ApiFault."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise bad_request(f"invalid {name}: {value}") from error


def stop_rule(config: dict[str, Any], request: dict[str, Any], default_timeout_s: float) -> tuple[int, float]:
    """Return the stop signal and the seconds until the kill.

    They are the request's, else the config's, else SIGINT and the default; no stop takes more than five minutes. Raises
    ApiFault.
    """
    stop = config.get("stop_config") or {}
    signal_name = request.get("signal") or stop.get("signal") or "SIGINT"
    timeout = request.get("timeout") if request.get("timeout") is not None else stop.get("timeout")
    return signal_number(signal_name), min(duration_s(timeout, default_timeout_s), _LONGEST_STOP_S)


def signal_number(value: Any) -> int:
    """Return the number of a signal given by number, or by name. Raises ApiFault."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65:
        return value
    name = str(value).upper()
    number = _SIGNALS.get(name if name.startswith("SIG") else f"SIG{name}")
    if number is None:
        raise bad_request(f"invalid signal: {value}")
    return number


def duration_s(value: Any, default: float) -> float:
    """Return the seconds of a Go duration, or of a number. Raises ApiFault.

    Numbers are seconds; from a million on they are nanoseconds.
    """
    if value in (None, "", 0):
        return default
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value / 1e9 if value >= 1e6 else float(value)
    parts = _DURATION.findall(str(value))
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise bad_request(f'time: invalid duration "{value}"')
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)
