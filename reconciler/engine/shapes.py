"""Of what kinds the parts of a machine config are, as far as the engine reads them; a wrong kind is refused.

A shape is a type, a list of one shape, or an object whose named members have shapes of their own; `...` stands for all
other members. What is null, or named nowhere, may be anything.
"""

from typing import Any, Final

from reconciler.engine.errors import bad_request

_DURATION: Final = (str, int, float)
_COMMAND: Final = [str]
_PROCESS: Final[dict[Any, Any]] = {
    "exec": _COMMAND,
    "entrypoint": _COMMAND,
    "cmd": _COMMAND,
    "user": str,
    "env": {...: str},
    "secrets": [{"env_var": str, "name": str}],
    "ignore_app_secrets": bool,
    "env_from": [{"env_var": str, "field_ref": str}],
}
_CHECK: Final[dict[Any, Any]] = {
    "type": str,
    "kind": str,
    "port": int,
    "interval": _DURATION,
    "timeout": _DURATION,
    "grace_period": _DURATION,
    "method": str,
    "path": str,
    "protocol": str,
    "headers": [{"name": str, "values": [str]}],
    "tls_skip_verify": bool,
    "tls_server_name": str,
}
CONFIG: Final[dict[Any, Any]] = {
    "image": str,
    "env": {...: str},
    "metadata": {...: str},
    "init": {"exec": _COMMAND, "entrypoint": _COMMAND, "cmd": _COMMAND, "tty": bool, "swap_size_mb": int},
    "guest": {"cpus": int, "memory_mb": int, "cpu_kind": str, "gpu_kind": str, "gpus": int, "kernel_args": [str]},
    "restart": {"policy": str, "max_retries": int},
    "stop_config": {"signal": (str, int), "timeout": _DURATION},
    "files": [{"guest_path": str, "raw_value": str, "secret_name": str, "mode": int}],
    "processes": [_PROCESS],
    "mounts": [{"volume": str, "path": str, "name": str, "size_gb": int}],
    "services": [
        {
            "protocol": str,
            "internal_port": int,
            "autostart": bool,
            "autostop": (str, bool),
            "min_machines_running": int,
            "ports": [{"port": int, "start_port": int, "end_port": int, "handlers": [str], "force_https": bool}],
            "concurrency": {"type": str, "soft_limit": int, "hard_limit": int},
            "checks": [_CHECK],
        }
    ],
    "checks": {...: _CHECK},
    "containers": [{"name": str, "image": str}],
    "auto_destroy": bool,
    "schedule": str,
    "size": str,
}


def check(value: Any, shape: Any, name: str) -> None:
    """Raises Refused where the value, or a part of it, is of another kind."""
    if value is None:
        return
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise bad_request(f"{name} must be an object")
        for key, member in value.items():
            if key in shape or ... in shape:
                check(member, shape.get(key, shape.get(...)), f"{name}.{key}")
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise bad_request(f"{name} must be an array")
        for number, member in enumerate(value):
            check(member, shape[0], f"{name}[{number}]")
    elif not isinstance(value, shape) or (isinstance(value, bool) and bool not in _kinds(shape)):
        raise bad_request(f"{name} must be {_words(shape)}")


def _kinds(shape: type | tuple[type, ...]) -> tuple[type, ...]:
    return shape if isinstance(shape, tuple) else (shape,)


def _words(shape: type | tuple[type, ...]) -> str:
    words = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
    return " or ".join(words[kind] for kind in _kinds(shape))
