"""Build the machine config that the API is sent from a pool's merged fields.

canonical/sections.py says which field becomes which member of it. A field without a builder here is sent as it is
written.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from reconciler.canonical.sections import FIELDS
from reconciler.model.guest import LEAST_MB_PER_CPU, MOST_MB_PER_CPU
from reconciler.model.image import parse_image
from reconciler.model.spec import PoolKind
from reconciler.spec.diagnostics import Findings
from reconciler.spec.durations import check_stop
from reconciler.spec.ports import build_checks, build_services
from reconciler.spec.raw_config import with_raw_config
from reconciler.spec.yaml_nodes import List, Map, Node, Scalar, is_null, plain_value

_NOTHING: Final[tuple[Any, ...]] = ({}, [], None, "", 0)  # such a value is not sent
_RESTART: Final = {PoolKind.TASK: "no", PoolKind.SERVICE: "always"}


def build_config(node: Map, kind: PoolKind, findings: Findings) -> dict[str, Any]:
    """Return the config in the API's spelling, without marks."""
    config: dict[str, Any] = {}
    for field in FIELDS:
        if field.path is None or field.only not in {None, kind}:
            continue
        build = _BUILDERS.get(field.name)
        value = build(node, kind, findings) if build else _as_written(node.get(field.name))
        if value not in _NOTHING:
            section, _, member = field.path.partition(".")
            config[section] = config.get(section, {}) | {member: value} if member else value
    return with_raw_config(config, node, kind, findings)


def _as_written(node: Node | None) -> Any:
    return None if node is None else plain_value(node)


def _image(node: Map, _kind: PoolKind, findings: Findings) -> str:
    image = node.get("image")
    if image is None:
        return ""
    text = _text(image)
    try:
        parse_image(text)
    except ValueError as error:
        findings.add(image, f"`image` is not an image reference: {error}", hint="write it like registry.fly.io/app:tag")
    return text


def _entrypoint(node: Map, _kind: PoolKind, findings: Findings) -> list[str]:
    return [] if "processes" in node.entries else _words(node.get("entrypoint"), findings)


def _cmd(node: Map, _kind: PoolKind, findings: Findings) -> list[str]:
    """Return the command and args; args alone replace the image's own words."""
    if "processes" in node.entries:
        return []
    return _words(node.get("command"), findings) + _words(node.get("args"), findings)


def _processes(node: Map, kind: PoolKind, findings: Findings) -> list[dict[str, Any]]:
    processes = node.get("processes")
    if not isinstance(processes, List):
        return []
    for key in ("command", "args", "entrypoint"):
        if key in node.entries:
            message = f"`{key}` and `processes` exclude each other"
            findings.add(node.entries[key].key, message, hint="remove one of them")
    return [_process(one, kind, findings) for one in processes.items if isinstance(one, Map)]


def _process(node: Map, kind: PoolKind, findings: Findings) -> dict[str, Any]:
    process: dict[str, Any] = {
        "name": _text(node.get("name")),
        "entrypoint": _entrypoint(node, kind, findings),
        "cmd": _cmd(node, kind, findings),
        "env": _strings(node.get("env")),
    }
    return {key: value for key, value in process.items() if value or (key == "name" and "name" in node.entries)}


def command_words(node: Node | None, findings: Findings) -> int:
    """Count the words of a pool's `command`; the args come after them."""
    return len(_words(node, findings))


def _words(node: Node | None, findings: Findings) -> list[str]:
    """Return a list's words as spelled; a string's as a shell splits them."""
    if isinstance(node, List):
        return [_text(item) for item in node.items]
    if not isinstance(node, Scalar):
        return []
    import shlex

    try:
        words = shlex.split(node.text)
    except ValueError as error:
        findings.add(node, f"cannot be split into words: {str(error).lower()}", hint="write it as a list")
        return []
    if not words:
        findings.add(node, "there is no word in it", hint="leave it out to run the image's own command")
    return words


def _strings(node: Node | None) -> dict[str, str]:
    if not isinstance(node, Map):
        return {}
    return {key: _text(entry.value) for key, entry in node.items() if not is_null(entry.value)}


def _env(node: Map, _kind: PoolKind, _findings: Findings) -> dict[str, str]:
    return _strings(node.get("env"))


def _metadata(node: Map, _kind: PoolKind, _findings: Findings) -> dict[str, str]:
    return _strings(node.get("metadata"))


def _guest(pool: Map, _kind: PoolKind, findings: Findings) -> dict[str, Any]:
    node = pool.get("guest")
    if isinstance(node, Scalar):
        kind, _, cpus = node.text.removesuffix("x").replace("-cpu-", "-").rpartition("-")
        return {"cpu_kind": kind, "cpus": int(cpus), "memory_mb": LEAST_MB_PER_CPU[kind] * int(cpus)}
    if not isinstance(node, Map):
        return {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}
    guest: dict[str, Any] = {"cpu_kind": "shared"} | plain_value(node)
    least, most = (limit[guest["cpu_kind"]] * guest["cpus"] for limit in (LEAST_MB_PER_CPU, MOST_MB_PER_CPU))
    memory = node.entries["memory_mb"].value
    if not least <= guest["memory_mb"] <= most:
        cpus = f"{guest['cpus']} {guest['cpu_kind']} CPU{'s' if guest['cpus'] > 1 else ''}"
        fitting = -(-guest["memory_mb"] // (most // guest["cpus"]))
        hint = f"more memory needs more CPUs: `cpus: {fitting}`" if guest["memory_mb"] > most else f"give it {least}"
        findings.add(memory, f"`memory_mb`: {cpus} can have {least} to {most} MB, not {guest['memory_mb']}", hint=hint)
    elif rest := guest["memory_mb"] % 256:
        hint = f"did you mean `memory_mb: {guest['memory_mb'] - rest + 256}`?"
        findings.add(memory, "`memory_mb` comes in steps of 256", hint=hint)
    return guest


def _restart(pool: Map, kind: PoolKind, _findings: Findings) -> dict[str, Any]:
    node = pool.get("restart")
    if isinstance(node, Map):
        return dict(plain_value(node))
    return {"policy": _text(node) if node else _RESTART[kind]}


def _stop(pool: Map, _kind: PoolKind, findings: Findings) -> dict[str, Any]:
    node = pool.get("stop")
    if not isinstance(node, Map):
        return {}
    check_stop(node, findings)
    return dict(plain_value(node))


def _files(pool: Map, _kind: PoolKind, findings: Findings) -> list[dict[str, Any]]:
    node = pool.get("files")
    if not isinstance(node, List):
        return []
    files = [_file(one, findings) for one in node.items if isinstance(one, Map)]
    seen: set[str] = set()
    for item, file in zip(node.items, files, strict=True):
        if file["guest_path"] in seen:
            findings.add(item, f"the file {file['guest_path']} is there twice", hint="remove one of them")
        seen.add(file["guest_path"])
    return files


def _file(node: Map, findings: Findings) -> dict[str, Any]:
    import base64

    content, encoded = node.get("content"), node.get("content_base64")
    if (content is None) == (encoded is None):
        hint = "`content: text` is the file's text, `content_base64: …` its bytes"
        findings.add(node, "a file needs either `content` or `content_base64`", hint=hint)
    raw = "".join(_text(encoded).split()) if encoded else base64.b64encode(_text(content).encode()).decode()
    try:
        base64.b64decode(raw, validate=True)
    except ValueError:
        findings.add(encoded or node, "`content_base64` is not base64", hint="`base64 FILE` makes it")
    file: dict[str, Any] = {"guest_path": _text(node.get("path")), "raw_value": raw}
    if mode := node.get("mode"):
        file["mode"] = _mode(mode, findings)
    return file


def _mode(node: Node, findings: Findings) -> int:
    """Read octal digits as people write modes, quoted or not, or YAML's own 0o644."""
    text = _text(node).removeprefix("0o")
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        findings.add(node, f"{_text(node)!r} is not a file mode", hint='write it like "644"')
        return 0
    return mode


def _text(node: Node | None) -> str:
    return node.text if isinstance(node, Scalar) else ""


def _services(pool: Map, _kind: PoolKind, findings: Findings) -> list[dict[str, Any]]:
    return build_services(pool.get("ports"), findings)


def _checks(pool: Map, _kind: PoolKind, findings: Findings) -> dict[str, Any]:
    return build_checks(pool.get("checks"), pool.get("ports"), findings)


def _schedule(pool: Map, _kind: PoolKind, _findings: Findings) -> str:
    return _text(pool.get("schedule"))


Builder = Callable[[Map, PoolKind, Findings], Any]
_BUILDERS: Final[Mapping[str, Builder]] = {
    "image": _image,
    "entrypoint": _entrypoint,
    "command": _cmd,
    "processes": _processes,
    "env": _env,
    "guest": _guest,
    "restart": _restart,
    "files": _files,
    "stop": _stop,
    "metadata": _metadata,
    "ports": _services,
    "checks": _checks,
    "schedule": _schedule,
}
