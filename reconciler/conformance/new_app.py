"""Make the app of the probes, and delete it with all that is in it.

An app that exists is never taken: its name is asked for first, and the answer to the POST must say that it is new.
"""

from dataclasses import dataclass
from typing import Any, Final

from reconciler.clock import Clock
from reconciler.errors import ApiError, ApiErrorKind, ReconcilerError, TargetError, UsageError
from reconciler.machines_api.calls import NEW_APP_S, app_path
from reconciler.machines_api.raw import Answer, RawApi
from reconciler.machines_api.values import list_of

_TRIES: Final = 4
_PAUSE_S: Final = 1.0
_CALL_S: Final = 30.0
_GONE_WITHIN_S: Final = 60.0
_ANOTHER: Final = (
    "choose another name: the app is made for this, and deleted afterwards; or delete it, if an earlier one was killed"
)


@dataclass(slots=True, kw_only=True)
class NewApp:
    """The app. `may_exist`: this command has sent what makes it, and has not seen it gone."""

    api: RawApi
    clock: Clock
    name: str
    org: str
    may_exist: bool = False

    async def check_name(self) -> None:
        """Check that nobody has the name. Raises UsageError, TargetError, ApiError."""
        answer = await self._ask("GET", self._path)
        if (answer.is_success and answer.members) or answer.kind is ApiErrorKind.FORBIDDEN:
            raise UsageError(f"the app {self.name} exists already", hint=_ANOTHER)
        if answer.status == 401:
            raise TargetError(f"the token is refused: {answer.words}", hint="set FLY_API_TOKEN")
        if answer.kind is not ApiErrorKind.NOT_FOUND or (answer.text.strip() and answer.body is None):
            why = f"{self.api.base_url} does not tell whether the app exists: {answer.words}"
            raise TargetError(why, hint="is this the URL of a Machines API?")

    async def make(self, *, key: str) -> None:
        """Make the app; `key` tells ours from another of the same name, where the server heeds it.

        Raises UsageError if someone else has the name, ReconcilerError if it is not made or not certainly ours.
        """
        body = {"name": self.name, "app_name": self.name, "org_slug": self.org, "idempotency_key": key}
        is_first = True
        while True:
            self.may_exist = True
            try:
                answer = await self._ask("POST", "/v1/apps", body=body)
            except ApiError as error:
                if error.kind is ApiErrorKind.UNREACHABLE and is_first:
                    self.may_exist = False
                    raise
                answer = await self._repeated(body, error)
                is_first = False
            if answer.is_success:
                return
            if answer.kind is ApiErrorKind.NAME_TAKEN and is_first:
                self.may_exist = False
                raise UsageError(f"the app {self.name} exists already", hint=_ANOTHER)
            if answer.kind is ApiErrorKind.NAME_TAKEN:
                self.may_exist = False  # it may be another's: it is not ours to delete
                why = f"the app {self.name} exists, and the answer that would tell whose it is was lost"
                raise ReconcilerError(why, hint="nothing was deleted: look at it, and delete it if nobody else made it")
            self.may_exist = answer.status >= 500
            raise ReconcilerError(f"the app cannot be made: {answer.words}")

    async def _repeated(self, body: dict[str, Any], error: ApiError) -> Answer:
        """Send the POST again with the same key until an answer comes. Raises the last error."""
        for _ in range(_TRIES):
            await self.clock.sleep(_PAUSE_S)
            try:
                return await self._ask("POST", "/v1/apps", body=body)
            except ApiError as again:
                error = again
        raise error

    async def until_known(self) -> None:
        """Wait until the app's machines can be listed. Raises ReconcilerError after a minute."""
        deadline = self.clock.monotonic() + NEW_APP_S
        while True:
            answer = await self._ask("GET", f"{self._path}/machines")
            if answer.is_success:
                return
            if self.clock.monotonic() >= deadline:
                raise ReconcilerError(f"the new app's machines cannot be listed: {answer.words}")
            await self.clock.sleep(_PAUSE_S)

    async def delete(self) -> tuple[str, ...]:
        """Delete the app and its machines. Return what is left, in words."""
        left, deadline = "", self.clock.monotonic() + _GONE_WITHIN_S
        while self.clock.monotonic() < deadline:
            try:
                answer = await self._ask("DELETE", self._path, query={"force": "true"})
                left = f"its deletion answers {answer.words}"
                if (await self._ask("GET", self._path)).kind is ApiErrorKind.NOT_FOUND:
                    self.may_exist = False
                    return ()
                await self._delete_machines()
            except ApiError as error:
                left = str(error)
            await self.clock.sleep(_PAUSE_S)
        return (f"the app {self.name}, with its machines: {left}",)

    async def _delete_machines(self) -> None:
        listed = await self._ask("GET", f"{self._path}/machines")
        for machine in list_of(listed.body):
            if isinstance(machine, dict) and isinstance(machine.get("id"), str):
                await self._ask("DELETE", f"{self._path}/machines/{machine['id']}", query={"force": "true"})

    @property
    def _path(self) -> str:
        return app_path(self.name)

    async def _ask(self, method: str, path: str, **details: Any) -> Answer:
        return await self.api.send(method, path, limit=(f"{method} app", path), timeout_s=_CALL_S, **details)
