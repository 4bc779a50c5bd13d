"""Make the app of the probes, and delete it with all that is in it.

An app that exists is never taken: its name is asked for first, and the answer to the POST must say that it is new.
"""

from typing import Any, Final, NoReturn

from msgspec import Struct

from reconciler.clock import Clock
from reconciler.errors import ApiError, ApiErrorKind, ReconcilerError, TargetError, UsageError
from reconciler.machines_api.calls import NEW_APP_S, app_path
from reconciler.machines_api.raw import Answer, RawApi
from reconciler.machines_api.values import list_of

_TRIES: Final = 4
_PAUSE_S: Final = 1.0
_CALL_S: Final = 30.0
_GONE_WITHIN_S: Final = 90.0
_ANOTHER: Final = (
    "choose another name: this makes the app and deletes it; if an earlier `engine conform` was killed, delete its app"
)


class NewApp(Struct, kw_only=True):
    """The app of the probes.

    `may_exist`: the call that makes it was sent, and the app was not seen to be gone. `is_ours`: this command has
    certainly made it.
    """

    api: RawApi
    clock: Clock
    name: str
    org: str
    may_exist: bool = False
    is_ours: bool = False
    _made_at: float = 0.0

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

    def body(self, *, key: str) -> dict[str, str]:
        """Return what is sent to make it."""
        return {"name": self.name, "app_name": self.name, "org_slug": self.org, "idempotency_key": key}

    async def make(self, *, key: str) -> None:
        """Make the app. `key` distinguishes it from another app of the same name.

        Some servers ignore the key. Raises UsageError if someone else has the name, ReconcilerError if the app was not
        made or may be someone else's.
        """
        body, why = self.body(key=key), ""
        for _ in range(_TRIES):
            self.may_exist = True
            try:
                answer = await self._ask("POST", "/v1/apps", body=body)
            except ApiError as error:
                if error.kind is ApiErrorKind.UNREACHABLE and not why:
                    self.may_exist = False
                    raise
                why = str(error)
            else:
                if answer.is_success:
                    self.is_ours, self._made_at = True, self.clock.monotonic()
                    return
                if answer.kind is not ApiErrorKind.UNCLEAR:
                    self._refuse(answer, was_unclear=bool(why))
                why = answer.words
            await self.clock.sleep(_PAUSE_S)
        self._give_up(f"it is not known whether the app {self.name} was made: {why}")

    def _refuse(self, answer: Answer, *, was_unclear: bool) -> NoReturn:
        """Raise the error for a refused creation.

        After an unclear answer, an app with this name may be our own.
        """
        is_taken = answer.kind is ApiErrorKind.NAME_TAKEN
        if is_taken and was_unclear:
            self._give_up(f"the app {self.name} exists, but an answer was lost, so it may be someone else's")
        if was_unclear:
            self._give_up(f"it is not known whether the app {self.name} was made: {answer.words}")
        self.may_exist = False
        if is_taken:
            raise UsageError(f"the app {self.name} exists already", hint=_ANOTHER)
        hint = "may the token create apps in this organisation?"
        raise ReconcilerError(f"the app cannot be made: {answer.words}", hint=hint)

    def _give_up(self, why: str) -> NoReturn:
        raise ReconcilerError(why, hint="nothing was deleted; delete the app if nobody else made it")

    async def until_known(self) -> None:
        """Wait until the app's machines can be listed.

        Raises ReconcilerError after a minute.
        """
        deadline = self.clock.monotonic() + NEW_APP_S
        while True:
            answer = await self._ask("GET", f"{self._path}/machines")
            if answer.is_success and list_of(answer.body):
                self.is_ours = False
                self._give_up(f"the app {self.name} has machines already, so someone else has made it too")
            if answer.is_success:
                return
            if self.clock.monotonic() >= deadline:
                why = f"the new app's machines cannot be listed: {answer.words}"
                raise ReconcilerError(why, hint="nothing else was tried: run it again")
            await self.clock.sleep(_PAUSE_S)

    async def delete(self) -> tuple[str, ...]:
        """Delete the app and its machines. Return what is left, in words.

        A new app may be unknown to some of the server's nodes, so that for a minute a 404 is no proof.
        """
        left, deadline, is_deleted = "", self.clock.monotonic() + _GONE_WITHIN_S, False
        while self.clock.monotonic() < deadline:
            try:
                answer = await self._ask("DELETE", self._path, query={"force": "true"})
                left = f"its deletion answers {answer.words}"
                is_deleted = is_deleted or answer.is_success
                is_old = self.clock.monotonic() > self._made_at + NEW_APP_S
                is_unknown = (await self._ask("GET", self._path)).kind is ApiErrorKind.NOT_FOUND
                if is_unknown and (is_deleted or is_old):
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
