"""Refusals, with the statuses and texts that Fly's API answers with."""

from typing import Any


class ApiFault(Exception):
    """A call that is answered with an error: `status` of HTTP, `text`, and the word that newer replies add."""

    def __init__(self, status: int, text: str, word: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.word = word

    def body(self) -> dict[str, Any]:
        return {"error": self.text} | ({"status": self.word} if self.word else {})


def bad_request(text: str) -> ApiFault:
    return ApiFault(400, f"invalid_argument: {text}")


def not_found(what: str) -> ApiFault:
    return ApiFault(404, f"{what} not found")


def name_taken(machine_id: str, name: str) -> ApiFault:
    text = f'already_exists: unique machine name violation, machine ID {machine_id} already exists with name "{name}"'
    return ApiFault(409, text)


def lease_held(machine_id: str, owner: str, expires_at: str) -> ApiFault:
    return ApiFault(409, f"aborted: machine ID {machine_id} lease currently held by {owner}, expires at {expires_at}")
