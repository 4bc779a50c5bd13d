"""Parse what the API tells of the token that it was asked with."""

from typing import Any

from msgspec import Struct

from reconciler.machines_api.values import list_of, object_of, text_of


class TokenInfo(Struct, frozen=True, kw_only=True):
    """What a token is for.

    With `apps` it reaches these alone, as a deploy token does. `is_personal` says that it is a user's.
    """

    organizations: tuple[str, ...]
    apps: tuple[str, ...]
    is_personal: bool


def token_from_json(value: Any) -> TokenInfo:
    """Parse the answer, which has a member for each part of the token."""
    parts = [one for one in list_of(object_of(value, "the token").get("tokens")) if isinstance(one, dict)]
    orgs = (text_of(part.get("org_slug")) or text_of(part.get("organization")) for part in parts)
    apps = (text_of(app) for part in parts for app in list_of(part.get("apps")))
    return TokenInfo(
        organizations=tuple(dict.fromkeys(filter(None, orgs))),
        apps=tuple(dict.fromkeys(filter(None, apps))),
        is_personal=any(text_of(part.get("user")) for part in parts),
    )
