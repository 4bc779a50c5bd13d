"""An error is the same in another process, as a queue of tasks hands it on, and after a copy."""

import copy
import pickle
from typing import Any

import pytest

from reconciler.errors import (
    ApiError,
    ApiErrorKind,
    BuildError,
    NotStartedError,
    ReconcilerError,
    RegistryError,
    RegistryErrorKind,
    RunFailedError,
    SpecError,
    StalePlanError,
    UsageError,
)
from reconciler.model.run import Outcome, OutcomeName
from reconciler.model.spec import Diagnostic, Place

BUSY = Outcome(name=OutcomeName.BUSY, exit_code=120, message="no machine was free", remedy="raise `count`")
AT = Place(file="machines.yaml", line=1, column=2)
ERRORS: list[ReconcilerError] = [
    UsageError("no", hint="do so"),
    SpecError([Diagnostic(place=AT, message="no")], more=2),
    StalePlanError(["moved"]),
    NotStartedError(BUSY, run_id="t-iad-0/1"),
    RunFailedError(BUSY, run_id="t-iad-0/1"),
    ApiError("no", kind=ApiErrorKind.FORBIDDEN, status=403),
    RegistryError("no", kind=RegistryErrorKind.DENIED),
    BuildError("no", lines="last"),
]


def pickled(error: ReconcilerError) -> Any:
    return pickle.loads(pickle.dumps(error))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "carried", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"]
)
def test_an_error_that_is_carried_on_is_the_same(error: ReconcilerError, carried: Any) -> None:
    again = carried(error)
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_the_text_of_a_failed_run_has_the_remedy() -> None:
    assert str(RunFailedError(BUSY, run_id="t-iad-0/1")) == "run t-iad-0/1: no machine was free; raise `count`"
