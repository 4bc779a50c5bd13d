"""Tell what happens in an apply, from its plan to its summary."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final, TypeAlias

from msgspec.structs import replace

from reconciler.errors import ReconcilerError, unexpected_words
from reconciler.model.apply_event import ApplyEvent, ApplyEventType
from reconciler.model.plan import AppCreation, Plan
from reconciler.model.report import Entry, Report
from reconciler.operations.session import Session

OnEvent: TypeAlias = Callable[[ApplyEvent], None]
_INTERRUPTS: Final = (KeyboardInterrupt, asyncio.CancelledError)


class ApplyEvents:
    """Passes on the events of one apply, and keeps what a summary needs.

    `now` returns the time. `interrupts` are the errors that mean that the user ended it.
    """

    def __init__(
        self,
        on_event: OnEvent,
        *,
        stack: str,
        now: Callable[[], datetime],
        interrupts: tuple[type[BaseException], ...] = _INTERRUPTS,
    ) -> None:
        self._on_event = on_event
        self._now = now
        self._interrupts = interrupts
        self._plan = Plan(stack=stack, apps=(), changes=())
        self._ends: dict[str, Entry] = {}
        self._apps: list[str] = []
        self.is_over: bool = False

    def heard_in(self, session: Session) -> Session:
        """Return the session whose apply is told of."""
        return replace(session, context=replace(session.context, on_event=self.take))

    def plan(self, plan: Plan) -> None:
        """Tell what is to be done."""
        self._plan = plan
        self._on_event(ApplyEvent(type=ApplyEventType.PLANNED, time=self._now(), about=plan))

    def take(self, event: ApplyEvent) -> None:
        """Pass on what has happened."""
        match event.about:
            case Entry():
                self._ends[event.about.address] = event.about
            case AppCreation():
                self._apps.append(event.about.name)
            case _:
                pass
        self._on_event(event)

    def end(self, report: Report) -> Report:
        """Tell how it ended, and return the report; only the first end is told."""
        if not self.is_over:
            self.is_over = True
            self._on_event(ApplyEvent(type=ApplyEventType.SUMMARY, time=self._now(), about=report))
        return report

    def so_far(self, error: BaseException | None = None) -> Report:
        """Return the report of an apply that ends early, because of an error or not."""
        is_interrupt = isinstance(error, self._interrupts)
        return Report(
            plan=self._plan,
            entries=tuple(self._ends.values()),
            apps_created=tuple(self._apps),
            failures=(_words(error),) if error and not is_interrupt else (),
            interrupted=is_interrupt,
        )


@contextmanager
def told_events(on_event: OnEvent, *, stack: str, now: Callable[[], datetime]) -> Iterator[ApplyEvents]:
    """Tell of one apply during the block; an error that leaves it is told as its end."""
    events = ApplyEvents(on_event, stack=stack, now=now)
    try:
        yield events
    except BaseException as error:
        events.end(events.so_far(error))
        raise
    events.end(events.so_far())


def _words(error: BaseException) -> str:
    if isinstance(error, ReconcilerError):
        return error.message
    return unexpected_words(error) if isinstance(error, Exception) else type(error).__name__
