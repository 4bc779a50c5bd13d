"""What prevents the deletion of an app, named; and what a server says of an app's contents."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.machines_api.app_contents import certificates_from_json, secrets_from_json, volumes_from_json
from reconciler.machines_api.values import MalformedError
from reconciler.model.app_contents import AppContents
from reconciler.model.machine import Observed, ObservedApp
from reconciler.model.plan import UnreachableMachine
from reconciler.model.spec import Slot
from reconciler.planner.app_deletions import with_app_deletions
from reconciler.planner.planner import plan
from tests.support.world import app_spec

SPEC = app_spec("    tasks: {}\n")
OBSERVED = Observed(apps={"app": ObservedApp(name="app", exists=True)}, at=datetime(2026, 1, 1, tzinfo=UTC))


def test_a_certificate_and_a_machine_that_cannot_be_observed_prevent_it() -> None:
    slot = Slot(app="app", pool="work", region="iad", number=0)
    dark = UnreachableMachine(slot=slot, id="m", host="unreachable")
    found = replace(plan(SPEC, OBSERVED), unreachable=(dark,))
    contents = {"app": AppContents(certificates=("shop.example",))}
    (why,) = with_app_deletions(found, SPEC, OBSERVED, contents).blocked
    assert "machine work-iad-0 (it cannot be observed), the certificate of shop.example;" in why


def test_of_many_things_the_first_are_named() -> None:
    contents = {"app": AppContents(volumes=tuple(f"vol_{number}" for number in range(9)))}
    (why,) = with_app_deletions(plan(SPEC, OBSERVED), SPEC, OBSERVED, contents).blocked
    assert "volume vol_4 and 4 more;" in why


@pytest.mark.parametrize(
    ("read", "value", "names"),
    [
        (volumes_from_json, [{"id": "v", "state": "created"}, {"id": "w", "state": "pending_destroy"}], ("v",)),
        (volumes_from_json, [{"id": "v", "state": "of another name"}, {"id": "w"}], ("v", "w")),
        (volumes_from_json, None, ()),
        (certificates_from_json, {"certificates": [{"hostname": "a.example"}], "total_count": 1}, ("a.example",)),
        (certificates_from_json, {"certificates": None}, ()),
        (secrets_from_json, {"secrets": [{"name": "A", "digest": "d"}]}, ("A",)),
    ],
)
def test_what_an_app_has_is_read(read: Any, value: Any, names: tuple[str, ...]) -> None:
    assert read(value) == names


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (volumes_from_json, {"volumes": []}),
        (volumes_from_json, [{"id": ""}]),
        (volumes_from_json, ["v"]),
        (certificates_from_json, []),
        (certificates_from_json, {"certificates": {}}),
        (certificates_from_json, {"certificates": [{"host": "a.example"}]}),
        (secrets_from_json, {"secrets": "A"}),
    ],
)
def test_what_is_not_understood_is_no_empty_app(read: Any, value: Any) -> None:
    with pytest.raises(MalformedError):
        read(value)
