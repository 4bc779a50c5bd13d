"""Declarative Fly Machines for short-lived tasks.

    import reconciler

    with reconciler.Stack.from_file("machines.yaml") as stack:
        stack.apply(stack.plan())
        outcome = stack.invoke("get-release").wait()

`Stack` is for threads and `AsyncStack` for asyncio; `Tasks` and `AsyncTasks` invoke tasks without a spec. What is
listed in `__all__` is the public interface. A name is imported when it is used, so that `import reconciler` is cheap.
"""

TYPE_CHECKING = False  # as typing has it, which takes a while to import
if TYPE_CHECKING:
    from typing import Any

    from reconciler.errors import (
        ApiError,
        ApiErrorKind,
        BlockedError,
        BuildError,
        LeaseLostError,
        LogsIncompleteError,
        NotStartedError,
        ReconcilerError,
        RegistryError,
        RegistryErrorKind,
        RunFailedError,
        SpecError,
        StalePlanError,
        StartUnclearError,
        TargetError,
        UnobservedError,
        UsageError,
    )
    from reconciler.images.builds import BuiltImage
    from reconciler.invoke.queue import OnBusy
    from reconciler.machines_api.logs import LogLine
    from reconciler.model.apply_event import ApplyEvent, ApplyEventType
    from reconciler.model.change import Action, Cause, Change, FieldChange
    from reconciler.model.plan import Plan, SavedPlan
    from reconciler.model.report import Entry, Report, Status
    from reconciler.model.run import NeverStarted, Outcome, OutcomeName, RunInfo, RunState
    from reconciler.model.slot_status import SlotStatus
    from reconciler.model.spec import App, Diagnostic, Pool, PoolKind, Slot, Spec
    from reconciler.operations.runs import ListedRuns
    from reconciler.operations.status import StackStatus
    from reconciler.operations.unlock import FoundLease, Unlocked
    from reconciler.planner.hashes import plan_sha256
    from reconciler.stack.asynchronous import AsyncStack
    from reconciler.stack.sources import load_spec, read_plan
    from reconciler.stack.synchronous import Stack
    from reconciler.targets import Target
    from reconciler.tasks.async_run import AsyncRun
    from reconciler.tasks.asynchronous import AsyncTasks
    from reconciler.tasks.synchronous import Run, Tasks

    __version__: str

__all__ = [
    "Action",
    "ApiError",
    "ApiErrorKind",
    "App",
    "ApplyEvent",
    "ApplyEventType",
    "AsyncRun",
    "AsyncStack",
    "AsyncTasks",
    "BlockedError",
    "BuildError",
    "BuiltImage",
    "Cause",
    "Change",
    "Diagnostic",
    "Entry",
    "FieldChange",
    "FoundLease",
    "LeaseLostError",
    "ListedRuns",
    "LogLine",
    "LogsIncompleteError",
    "NeverStarted",
    "NotStartedError",
    "OnBusy",
    "Outcome",
    "OutcomeName",
    "Plan",
    "Pool",
    "PoolKind",
    "ReconcilerError",
    "RegistryError",
    "RegistryErrorKind",
    "Report",
    "Run",
    "RunFailedError",
    "RunInfo",
    "RunState",
    "SavedPlan",
    "Slot",
    "SlotStatus",
    "Spec",
    "SpecError",
    "Stack",
    "StackStatus",
    "StalePlanError",
    "StartUnclearError",
    "Status",
    "Target",
    "TargetError",
    "Tasks",
    "Unlocked",
    "UnobservedError",
    "UsageError",
    "__version__",
    "load_spec",
    "plan_sha256",
    "read_plan",
]

_HOMES = {
    "errors": (
        "ApiError ApiErrorKind BlockedError BuildError LeaseLostError LogsIncompleteError NotStartedError"
        " ReconcilerError RegistryError RegistryErrorKind RunFailedError SpecError StalePlanError StartUnclearError"
        " TargetError UnobservedError UsageError"
    ),
    "images.builds": "BuiltImage",
    "invoke.queue": "OnBusy",
    "machines_api.logs": "LogLine",
    "model.apply_event": "ApplyEvent ApplyEventType",
    "model.change": "Action Cause Change FieldChange",
    "model.plan": "Plan SavedPlan",
    "model.report": "Entry Report Status",
    "model.run": "NeverStarted Outcome OutcomeName RunInfo RunState",
    "model.slot_status": "SlotStatus",
    "model.spec": "App Diagnostic Pool PoolKind Slot Spec",
    "operations.runs": "ListedRuns",
    "operations.status": "StackStatus",
    "operations.unlock": "FoundLease Unlocked",
    "planner.hashes": "plan_sha256",
    "stack.asynchronous": "AsyncStack",
    "stack.sources": "load_spec read_plan",
    "stack.synchronous": "Stack",
    "targets": "Target",
    "tasks.async_run": "AsyncRun",
    "tasks.asynchronous": "AsyncTasks",
    "tasks.synchronous": "Run Tasks",
}


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name == "__version__":
        from reconciler.version import VERSION

        return VERSION
    for module, names in _HOMES.items():
        if name in names.split():
            return getattr(import_module(f"reconciler.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
