"""The types of machine config fields, as Fly's OpenAPI document has them.

A shape is a type, a list with the shape of its items, or a dict with the shapes of its members, where `...` stands for
all other members. Null is allowed everywhere; a field that is not listed may have any value.
"""

from typing import Any, Final

from reconciler.engine.errors import bad_request

DURATION: Final = (str, int, float)
NUMBER: Final = (int, float)
_WORDS: Final = [str]
_ANYTHING: Final = None
_HEADER: Final = {"name": str, "values": [str]}
_SECRET: Final = {"env_var": str, "name": str}
_FIELD: Final = {"env_var": str, "field_ref": str}
_FILE: Final = {"guest_path": str, "raw_value": str, "secret_name": str, "image_config": str, "mode": int}
_RESTART: Final = {"policy": str, "max_retries": int}
_STOP: Final = {"signal": (str, int), "timeout": DURATION}
_SERVICE_CHECK: Final = {
    "type": str,
    "port": int,
    "interval": DURATION,
    "timeout": DURATION,
    "grace_period": DURATION,
    "method": str,
    "path": str,
    "protocol": str,
    "headers": [_HEADER],
    "tls_skip_verify": bool,
    "tls_server_name": str,
}
_PROCESS: Final = {
    "exec": _WORDS,
    "entrypoint": _WORDS,
    "cmd": _WORDS,
    "user": str,
    "env": {...: str},
    "env_from": [_FIELD],
    "secrets": [_SECRET],
}
_CONTAINER: Final = _PROCESS | {
    "name": str,
    "image": str,
    "files": [_FILE],
    "restart": _RESTART,
    "stop": _STOP,
    "depends_on": [{"name": str, "condition": str}],
    "healthchecks": [
        {
            "name": str,
            "kind": str,
            "unhealthy": str,
            "interval": int,
            "timeout": int,
            "grace_period": int,
            "success_threshold": int,
            "failure_threshold": int,
            "exec": {"command": _WORDS},
            "tcp": {"port": int},
            "http": {
                "port": int,
                "method": str,
                "path": str,
                "scheme": str,
                "headers": [_HEADER],
                "tls_skip_verify": bool,
                "tls_server_name": str,
            },
        }
    ],
}
_PORT: Final = {
    "port": int,
    "start_port": int,
    "end_port": int,
    "handlers": [str],
    "force_https": bool,
    "tls_options": {"alpn": [str], "versions": [str], "default_self_signed": bool},
    "proxy_proto_options": {"version": str},
    "http_options": {
        "compress": bool,
        "h2_backend": bool,
        "idle_timeout": int,
        "headers_read_timeout": int,
        "response": {"headers": {...: _ANYTHING}, "pristine": bool},
        "replay_cache": [
            {"path_prefix": str, "ttl_seconds": int, "type": str, "name": str, "allow_bypass": bool},
        ],
    },
}
_SERVICE: Final = {
    "protocol": str,
    "internal_port": int,
    "autostart": bool,
    "autostop": (str, bool),
    "min_machines_running": int,
    "force_instance_key": str,
    "force_instance_description": str,
    "ports": [_PORT],
    "concurrency": {"type": str, "soft_limit": int, "hard_limit": int},
    "checks": [_SERVICE_CHECK],
}
CONFIG: Final[dict[Any, Any]] = {
    "image": str,
    "env": {...: str},
    "metadata": {...: str},
    "init": {
        "exec": _WORDS,
        "entrypoint": _WORDS,
        "cmd": _WORDS,
        "tty": bool,
        "swap_size_mb": int,
        "kernel_args": [str],
    },
    "guest": {
        "cpus": int,
        "memory_mb": int,
        "max_memory_mb": int,
        "cpu_kind": str,
        "gpus": int,
        "gpu_kind": str,
        "kernel_args": [str],
        "host_dedication_id": str,
        "required_host_features": [str],
        "persist_rootfs": str,
    },
    "size": str,
    "rootfs": {"persist": str, "size_gb": int},
    "cache_drive": {"size_mb": int},
    "restart": _RESTART,
    "spot": {"max_price_fraction": NUMBER},
    "stop_config": _STOP,
    "auto_destroy": bool,
    "schedule": str,
    "standbys": [str],
    "files": [_FILE],
    "processes": [_PROCESS | {"ignore_app_secrets": bool}],
    "containers": [_CONTAINER],
    "mounts": [
        {
            "volume": str,
            "path": str,
            "name": str,
            "encrypted": bool,
            "size_gb": int,
            "add_size_gb": int,
            "add_size_percent": int,
            "min_add_size_gb": int,
            "size_gb_limit": int,
            "extend_threshold_percent": int,
        }
    ],
    "services": [_SERVICE],
    "checks": {...: _SERVICE_CHECK | {"kind": str}},
    "metrics": {"port": int, "path": str, "https": bool},
    "statics": [{"guest_path": str, "url_prefix": str, "index_document": str, "tigris_bucket": str}],
    "dns": {
        "hostname": str,
        "hostname_fqdn": str,
        "nameservers": [str],
        "searches": [str],
        "skip_registration": bool,
        "options": [{"name": str, "value": str}],
        "dns_forward_rules": [{"basename": str, "addr": str}],
    },
    "disable_machine_autostart": bool,
}


def check(value: Any, shape: Any, name: str) -> None:
    """Raise ApiFault where the value, or a part of it, has the wrong type."""
    if value is None or shape is _ANYTHING:
        return
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise bad_request(f"{name} must be an object")
        for key, member in value.items():
            if key in shape or ... in shape:
                check(member, shape[key if key in shape else ...], f"{name}.{key}")
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


def kind_of(shape: Any) -> str:
    """Return JSON's name of the type, such as object, array or integer."""
    if shape is _ANYTHING or isinstance(shape, dict | list):
        return "array" if isinstance(shape, list) else "object"
    return {str: "string", int: "integer", bool: "boolean", float: "number"}[
        _kinds(shape)[-1 if shape == NUMBER else 0]
    ]
