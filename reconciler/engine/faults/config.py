"""Read the file of `engine run --adversity`: settings and fault rules."""

from pathlib import Path
from typing import Any, Final

from msgspec.structs import fields, replace

from reconciler.engine.faults.rules import FaultConfigError, FaultRules, Rule
from reconciler.engine.faults.settings import LATENCIES, Behaviour, Latency, Settings

_KEYS: Final = ("latency", "behaviour", "limits_rates", "rules")
_DEFAULT_LATENCY: Final = "small"


def load_fault_file(file: Path | None, *, latency: str | None = None) -> tuple[Settings, FaultRules]:
    """Return the settings and rules of the file; `latency` overrides the file's.

    Raises FaultConfigError.
    """
    document = _document(file) if file else {}
    return parse_settings(document, latency=latency), FaultRules(_rules(document.get("rules") or []))


def parse_settings(document: dict[str, Any], *, latency: str | None = None) -> Settings:
    """Return the settings of `latency`, `behaviour` and `limits_rates` in a document.

    Raises FaultConfigError.
    """
    chosen = latency or document.get("latency") or _DEFAULT_LATENCY
    return Settings(
        latency=_latency(chosen),
        behaviour=replace(Behaviour(), **_values(Behaviour, document.get("behaviour") or {}, "behaviour")),
        limits_rates=_boolean(document.get("limits_rates", False), "limits_rates"),
    )


def _rules(document: Any) -> list[Rule]:
    """Return the rules.

    The check of rules knows all routes: import it only where there are rules.
    """
    if not document:
        return []
    from reconciler.engine.faults.rule_checks import checked_rules

    return checked_rules(document)


def _document(file: Path) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise FaultConfigError(f"cannot read {file}: {error}") from error
    except yaml.YAMLError as error:
        raise FaultConfigError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise FaultConfigError(f"{file}: expected a map")
    for key in document:
        if key not in _KEYS:
            raise FaultConfigError(f"{file}: unknown key {key!r}; known: {', '.join(_KEYS)}")
    return document


def _latency(value: Any) -> Latency:
    """Return the latencies of a name, or of a map of times based on a name (`like`)."""
    if isinstance(value, dict):
        base = _latency(value.get("like", _DEFAULT_LATENCY))
        single = {key: member for key, member in value.items() if key != "like"}
        return replace(base, **_values(Latency, single, "latency"))
    if value not in LATENCIES:
        raise FaultConfigError(f"latency: {value!r} is none of {', '.join(LATENCIES)}, and no map of times")
    return LATENCIES[value]


def _values(kind: type[Latency] | type[Behaviour], given: Any, place: str) -> dict[str, Any]:
    """Return the given fields.

    Raises FaultConfigError for an unknown one, or one of the wrong type.
    """
    if not isinstance(given, dict):
        raise FaultConfigError(f"{place}: expected a map")
    known = {one.name: one.default for one in fields(kind)}
    for key, value in given.items():
        if key not in known:
            raise FaultConfigError(f"{place}: unknown key {key!r}; known: {', '.join(known)}")
        if not _fits(value, known[key]):
            raise FaultConfigError(f"{place}.{key}: {value!r} makes no sense there")
    return given


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool):
        return isinstance(value, bool)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (is_number and value >= 0) or (value is None and not isinstance(default, float))


def _boolean(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise FaultConfigError(f"{place}: expected true or false")
    return value
