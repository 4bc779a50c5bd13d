"""Find what was probably meant by a word that a spec cannot have there.

That is a name which is spelled like it, or what it means to other tools.
"""

import re
from collections.abc import Collection, Sequence
from typing import Any, Final

from reconciler.model.guest import PRESETS
from reconciler.spec.yaml_nodes import List, Map, Node, Scalar

_LONGEST: Final = 64  # characters of a word of which a likely spelling is looked for
_PLACES: Final = {  # cities, and regions of other clouds; the nearest of Fly's
    **dict.fromkeys(("amsterdam", "netherlands", "eu-west-4"), "ams"),
    **dict.fromkeys(("stockholm", "sweden", "eu-north-1"), "arn"),
    **dict.fromkeys(("mumbai", "india", "ap-south-1"), "bom"),
    **dict.fromkeys(("paris", "france", "eu-west-3"), "cdg"),
    **dict.fromkeys(("dallas", "texas", "us-central1"), "dfw"),
    **dict.fromkeys(("newark", "new-york", "new-jersey", "nyc"), "ewr"),
    **dict.fromkeys(("frankfurt", "germany", "eu-central-1", "eu", "europe", "fsn1"), "fra"),
    **dict.fromkeys(("sao-paulo", "brazil", "sa-east-1"), "gru"),
    **dict.fromkeys(("ashburn", "virginia", "us-east-1", "us-east", "us", "usa"), "iad"),
    **dict.fromkeys(("johannesburg", "south-africa", "af-south-1"), "jnb"),
    **dict.fromkeys(("los-angeles", "us-west-1", "us-west"), "lax"),
    **dict.fromkeys(("london", "uk", "eu-west-2"), "lhr"),
    **dict.fromkeys(("tokyo", "japan", "ap-northeast-1"), "nrt"),
    **dict.fromkeys(("chicago", "us-east-2"), "ord"),
    **dict.fromkeys(("singapore", "ap-southeast-1"), "sin"),
    **dict.fromkeys(("san-jose", "california"), "sjc"),
    **dict.fromkeys(("sydney", "australia", "ap-southeast-2"), "syd"),
    **dict.fromkeys(("toronto", "canada", "ca-central-1"), "yyz"),
}
EXAMPLES: Final = {  # of fields that are maps
    "apps": "for example `apps: {shop: {image: registry.fly.io/shop:1, tasks: {work: {command: [run]}}}}`",
    "tasks": "for example `tasks: {work: {command: [run]}}`",
    "services": "for example `services: {web: {command: [serve], ports: [8080]}}`",
    "overrides": "for example `overrides: {args: true, env: [LOG_LEVEL]}`",
    "env": "for example `env: {LOG_LEVEL: info}`",
}
BOOLEANS: Final = {**dict.fromkeys(("yes", "on", "y", "1"), "true"), **dict.fromkeys(("no", "off", "n", "0"), "false")}
_MOST_NAMES: Final = 3  # of a list's items, in an example
_NAME: Final = r"[a-z][a-z0-9-]{0,30}"
_ASSIGNMENT: Final = r"([A-Z][A-Z0-9_]{0,40})=[^=]"
_LEFT_OUT: Final = frozenset({"command", "args", "entrypoint"})
_SAME: Final = {"never": "no", "none": "no", "unless-stopped": "always", "on_failure": "on-failure"}
_CRON: Final = r"(@\w+|\S+( \S+){4,5})"
_NUMBER: Final = r"\d+"
_DURATIONS: Final = frozenset({"timeout", "min_healthy", "interval", "grace_period"})
_SPOKEN: Final = r"(\d{1,9}) ?([smhSMH])(?:ec|in|our|econd|inute|r)?s?"
_SIZE: Final = r"(\d{1,9}) ?([mMgG])(?:i?[bB])?"
_PUBLISHED: Final = r"(\d{1,5}):(\d{1,5})"
# Other tools' words for a field: what is written here.
_FIELDS: Final = {
    "cmd": "command",
    "entry_point": "entrypoint",
    "environment": "env",
    "variables": "env",
    "scale": "count",
    "replicas": "count",
    "instances": "count",
    "region": "regions",
    "primary_region": "regions",
    "dockerfile": "build",
    "volumes": "mounts",
    "healthcheck": "checks",
    "http_service": "ports",
    "grace_period": "stop",
    "kill_signal": "stop",
    "stop_signal": "stop",
    "labels": "metadata",
    "organization": "org",
    "organisation": "org",
    "jobs": "tasks",
    **dict.fromkeys(("memory", "ram", "memory_mb", "cpus", "cpu", "cpu_kind", "vm", "vm_size", "vm_memory"), "guest"),
    **dict.fromkeys(("cron", "crontab"), "schedule"),
}
_WRITTEN: Final = {
    "guest": "`guest: shared-cpu-1x`, or `guest: {cpus: 1, memory_mb: 512}`",
    "schedule": "`schedule: daily` and `launch: true`; hourly, weekly and monthly are there too",
}


def nearest(word: Any, known: Collection[Any], *, cutoff: float = 0.6) -> str | None:
    """Return the known word that was probably meant; None if none was.

    Capitals do not count.
    """
    if not isinstance(word, str) or len(word) > _LONGEST:
        return None
    import difflib  # only for a misspelt word

    by_lower = {one.lower(): one for one in known if isinstance(one, str)}
    found = difflib.get_close_matches(word.lower(), sorted(by_lower), n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


def nearest_region(region: str, known: Collection[str]) -> str | None:
    """Return the known region that was probably meant; None if none was.

    It is spelled most alike, first by the first letter, or it is where the word says.
    """
    word = re.sub(r"[\s_]+", "-", region.strip().lower())
    if (place := _PLACES.get(word)) in known:
        return place
    alike = [one for one in known if one[:1] == word[:1]]
    return nearest(word, alike) or nearest(word, known)


def slug_of(text: str) -> str:
    """Return the text as a name in small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def hint_for_collection(key: str, node: List | Map, *, is_whole: bool) -> str | None:
    """Return what to write instead of a list or a map; None if that is not known.

    It `is_whole` if it is the value of the key itself. Of the items of a list no more than names are shown.
    """
    if key in _LEFT_OUT and isinstance(node, List) and not node.items:
        return f"leave `{key}` out, and the image's own is used"
    if key in EXAMPLES and (key not in _MAPS or isinstance(node, Map)):
        return EXAMPLES[key] if is_whole else None
    if not key:
        return "begin with `version: 1`, `name: …` and `apps: …`"
    if not isinstance(node, List) or not is_whole or key not in _MAPS:
        return None
    names = [name for item in node.items[:_MOST_NAMES] if (name := _MAPS[key](item))]
    return f"write it as a map: `{key}: {{{', '.join(f'{name}: …' for name in names or ['NAME'])}}}`"


def _variable_in(item: Node) -> str | None:
    """Return the name of `NAME=value`.

    None for any other text, which may be a secret.
    """
    found = re.match(_ASSIGNMENT, item.text) if isinstance(item, Scalar) else None
    return found[1] if found else None


def _name_in(item: Node) -> str | None:
    """Return the `name` of an item, or the only key that it has."""
    if not isinstance(item, Map):
        return None
    only = next(entry.key for _, entry in item.items()) if len(item.entries) == 1 else None
    named = item.get("name") or only
    return named.text if isinstance(named, Scalar) and re.fullmatch(_NAME, named.text) else None


# Maps that people write as lists, and how an item of such a list is named.
_MAPS: Final = {"env": _variable_in, "tasks": _name_in, "services": _name_in, "checks": _name_in}


def hint_for_value(key: str, word: Any, words: Sequence[Any]) -> str | None:
    """Return what to write as the value of the key; None if that is not known.

    `words` are those that it can have, if they are few.
    """
    if isinstance(word, bool) and "no" in words:
        word = "always" if word else "no"
        return f"did you mean `{key}: {word}`?"
    if not isinstance(word, str | int) or isinstance(word, bool):
        return None
    text = str(word)
    if key == "image":
        return "write it like registry.fly.io/app:tag"
    if (published := re.fullmatch(_PUBLISHED, text)) and key == "ports":
        return f"write `{{internal_port: {published[2]}, port: {published[1]}}}`"
    if key.endswith("_mb") and (size := re.fullmatch(_SIZE, text)):
        return f"did you mean `{key}: {int(size[1]) * (1024 if size[2].lower() == 'g' else 1)}`?"
    if key in _DURATIONS and (spoken := re.fullmatch(_SPOKEN, text)):
        return f"did you mean `{spoken[1]}{spoken[2].lower()}`?"
    if key == "schedule" and re.fullmatch(_CRON, text.strip()):
        return (
            "cron text is not supported yet: write `schedule: daily`, and the platform chooses the time,"
            " or let a cron of yours call `reconciler invoke TASK`"
        )
    if key in _DURATIONS and re.fullmatch(_NUMBER, text):
        return f"did you mean `{text}s`?"
    near = nearest(text, PRESETS.values()) if key == "guest" else None
    if key == "guest" and near is None:
        return "presets: shared-cpu-Nx with 1, 2, 4, 6 or 8 for N, and performance-Nx with 1, 2, 4 and so on up to 16"
    if key == "version":
        return "write `version: 1`"
    if same := _SAME.get(text.lower()):
        near = same if same in words or key in {"restart", "policy"} else None
    near = near or nearest(text, words)
    return f"did you mean `{near}`?" if near else None


def hint_for_field(key: str, known: Collection[str]) -> str | None:
    """Return which of the known fields was probably meant, or is called so elsewhere."""
    field = _FIELDS.get(key.lower())
    if field in known:
        return f"write {_WRITTEN[field]}" if field in _WRITTEN else f"here that is `{field}`"
    near = nearest(key, known)
    return f"did you mean `{near}`?" if near else None
