"""Bring a machine config to canonical form, declared or reported.

The server fills in, re-spells and decorates. None of that is a difference, so both sides are brought to a form that the
server does not change: defaults filled in, empty values gone, durations in nanoseconds, one word for each meaning.
Marks and other tools' metadata are not part of it.
"""

from typing import Any

from reconciler.canonical.forms import is_nullish
from reconciler.canonical.sections import FORMS
from reconciler.model.config import MachineConfig

Canonical = dict[str, Any]


def canonical(config: MachineConfig) -> Canonical:
    """Return the config's canonical form, without foreign metadata.

    That is the server's, ours and `fly_*`.
    """
    cleaned: Canonical = without_nullish(dict(config.document))
    document = dict(cleaned)
    for key, kind, form in FORMS:
        if key in cleaned and not isinstance(cleaned[key], kind):
            continue  # no config that the platform gives; compared as it is
        value = form(cleaned)
        if is_nullish(value):
            document.pop(key, None)
        else:
            document[key] = value
    document.pop("size", None)
    if "containers" in document:
        document.pop("image", None)  # reported beside containers, though nobody sent it
    return document


def without_nullish(value: Any) -> Any:
    """Return the value without empty members, at any depth.

    Maps whose keys are the user's keep their empty strings. `autostart: false` stays: left out, it is for the platform
    to decide.
    """
    if isinstance(value, dict):
        return {
            key: member if key in {"env", "metadata"} else cleaned
            for key, member in value.items()
            if not is_nullish(cleaned := without_nullish(member)) or (key == "autostart" and member is False)
        }
    if isinstance(value, list):
        return [without_nullish(member) for member in value]
    return value
