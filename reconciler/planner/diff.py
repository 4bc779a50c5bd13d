"""Find what differs between a declared and a reported config, and who changed it.

It goes leaf by leaf. Canonical forms are compared first; deepdiff is used only for pairs that are unequal, and for each
distinct pair once. Declared leaves must be there. What is reported and not declared counts only if the server never
adds anything by itself there, or if our marks say that it was ours.
"""

import json
from collections.abc import Mapping, Set
from typing import Any, NamedTuple

from reconciler.canonical.digest import is_first_of_image, parse_fields, sections_of
from reconciler.canonical.forms import users_metadata
from reconciler.canonical.normalize import Canonical, canonical
from reconciler.canonical.sections import AS_SENT, CLOSED, CLOSED_MEMBERS, NEVER_ADDED, SECRET_MEMBERS, SWITCHES
from reconciler.model import marks
from reconciler.model.change import Cause, FieldChange
from reconciler.model.config import JsonObject, MachineConfig
from reconciler.model.image import is_same_image

_IMAGE = ("image",)


class _Compared(NamedTuple):
    """How two canonical configs differ.

    `leaves` are (path, observed, desired) of each difference; of both there are digests by section.
    """

    leaves: tuple[tuple[tuple[Any, ...], Any, Any], ...]
    desired_sections: Mapping[str, str]
    live_sections: Mapping[str, str]


class Differ:
    """Compares configs for one plan, and remembers the pairs that it has seen.

    The machines of a pool are alike but for their metadata: the last config's canonical form often is the next one's.
    """

    def __init__(self) -> None:
        self._bare: JsonObject = {}
        self._canonical: Canonical = canonical(MachineConfig(document={}))
        self._compared: dict[tuple[str, str], _Compared] = {}

    def differences(
        self, desired: Canonical, live: MachineConfig, *, image: str | None = None
    ) -> tuple[FieldChange, ...]:
        """Return the leaves that differ, in the order of their paths.

        `image` is the desired image as it is sent: so it is shown, with its tag.
        """
        observed = self._canonical_of(live)
        if "image" in desired and is_same_image(live.image, image):
            observed = observed | {"image": desired["image"]}
        if observed == desired:
            return ()
        sent = {_IMAGE: (live.image, image)} if image and "image" in desired else {}
        fields = _fields_of(live, observed, desired, image)
        leaves, desired_sections, live_sections = self._compare(desired, observed)
        as_applied = {one for one, digest in fields.items() if digest == live_sections.get(one)}
        return tuple(
            FieldChange(
                path=_spelled(path),
                observed=sent.get(path, (before, after))[0],
                desired=sent.get(path, (before, after))[1],
                cause=_cause(str(path[0]), fields, desired_sections, live_sections),
                is_secret=_is_secret(path),
            )
            for path, before, after in leaves
            if _counts(path, after, fields, as_applied, live.metadata)
        )

    def _canonical_of(self, live: MachineConfig) -> Canonical:
        bare = live.bare
        if bare != self._bare:
            self._bare, self._canonical = bare, canonical(MachineConfig(document=bare))
        metadata = users_metadata(live.metadata)
        return self._canonical | {"metadata": metadata} if metadata else self._canonical

    def _compare(self, desired: Canonical, observed: Canonical) -> _Compared:
        key = (_key(desired), _key(observed))
        if key not in self._compared:
            leaves = _deep_diff(desired, observed)
            self._compared[key] = _Compared(leaves, sections_of(desired), sections_of(observed))
        return self._compared[key]


def _fields_of(live: MachineConfig, observed: Canonical, desired: Canonical, image: str | None) -> Mapping[str, str]:
    """Return the mark `fields`, with the image as it is hashed now.

    Machines that an earlier version applied have its hash as it was sent.
    """
    fields = parse_fields(live.metadata.get(marks.FIELDS, ""))
    for sent, document in ((live.image, observed), (image, desired)):
        if "image" in document and is_first_of_image(fields.get("image"), sent):
            return fields | sections_of({"image": document["image"]})
    return fields


def _deep_diff(desired: Canonical, observed: Canonical) -> tuple[tuple[tuple[Any, ...], Any, Any], ...]:
    """Yield (path, observed, desired) of each difference.

    Lists of plain values are shown as a whole.
    """
    from deepdiff import DeepDiff

    # Both maps are there, so that a first or last member is a difference of its own and not one of the whole section.
    empty: Canonical = {"env": {}, "metadata": {}}
    found: dict[tuple[Any, ...], tuple[Any, Any]] = {}
    without_lists = _without_plain_lists(empty | observed, empty | desired, (), found)
    tree = DeepDiff(*without_lists, view="tree", ignore_order=False, threshold_to_diff_deeper=0)
    for kind, items in tree.items():
        for item in items:
            path = tuple(item.path(output_format="list"))
            before = None if kind in {"dictionary_item_added", "iterable_item_added"} else item.t1
            after = None if kind in {"dictionary_item_removed", "iterable_item_removed"} else item.t2
            found[path] = (before, after)
    return tuple((path, *found[path]) for path in sorted(found, key=lambda path: [str(part) for part in path]))


def _without_plain_lists(
    observed: Any, desired: Any, path: tuple[Any, ...], found: dict[tuple[Any, ...], tuple[Any, Any]]
) -> tuple[Any, Any]:
    """Return both without the lists of plain values that both have.

    Those that differ are `found`, as a whole.
    """
    if isinstance(observed, dict) and isinstance(desired, dict):
        before, after = dict(observed), dict(desired)
        for key in observed.keys() & desired.keys():
            before[key], after[key] = _without_plain_lists(observed[key], desired[key], (*path, key), found)
        return before, after
    if not isinstance(observed, list) or not isinstance(desired, list):
        return observed, desired
    if _is_plain(observed) and _is_plain(desired):
        if observed != desired:
            found[path] = (observed, desired)
        return None, None
    count = min(len(observed), len(desired))
    pairs = [_without_plain_lists(observed[at], desired[at], (*path, at), found) for at in range(count)]
    return [before for before, _ in pairs] + observed[count:], [after for _, after in pairs] + desired[count:]


def _is_plain(values: list[Any]) -> bool:
    return not any(isinstance(member, dict | list) for member in values)


def _counts(
    path: tuple[Any, ...], after: Any, fields: Mapping[str, str], as_applied: Set[str], metadata: Mapping[str, str]
) -> bool:
    """Return whether a difference counts.

    A declared leaf always does, an extra one only if the server would not add it. In a section that is as it was
    applied it did not: what is extra there, the spec declared then.
    """
    section = path[0]
    if after is not None:
        return True
    if section == "metadata":
        return len(path) > 1 and str(path[1]) in metadata.get(marks.KEYS, "").split(",")
    if len(path) == 1:
        return section in NEVER_ADDED or section in fields
    if section in as_applied:
        return True
    return section in CLOSED or path[-1] in SWITCHES or path[:2] in CLOSED_MEMBERS or isinstance(path[-1], int)


def _cause(
    section: str, fields: Mapping[str, str], desired_sections: Mapping[str, str], live_sections: Mapping[str, str]
) -> Cause:
    """Return who made a section differ.

    It is the spec, unless the section is declared as when it was last applied.
    """
    if section in fields and fields[section] == desired_sections.get(section):
        return Cause.DRIFT
    if fields and section not in fields and section not in desired_sections and section != "metadata":
        return Cause.DRIFT
    if section in AS_SENT and section in fields and live_sections.get(section) != fields[section]:
        return Cause.BOTH
    return Cause.SPEC


def _is_secret(path: tuple[Any, ...]) -> bool:
    return any(part in SECRET_MEMBERS for part in path)


def _spelled(path: tuple[Any, ...]) -> str:
    words = ""
    for part in path:
        words += f"[{part}]" if isinstance(part, int) else f".{part}" if words else str(part)
    return words


def _key(document: Canonical) -> str:
    return json.dumps(document, sort_keys=True, default=str)
