"""The table of queries and mutations; reduce answers to the fields asked for."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from reconciler.engine.config.regions import HERE
from reconciler.engine.engine import Engine
from reconciler.engine.errors import ApiFault
from reconciler.engine.graphql import answers
from reconciler.engine.graphql.answers import Addresses, Object
from reconciler.engine.graphql.document import DocumentError, Field, read_document


class Asked(NamedTuple):
    """What answers a query: the engine, the addresses of ports, and the arguments."""

    engine: Engine
    served: Addresses
    arguments: Mapping[str, Any]


Answer: TypeAlias = Callable[[Asked], Any]


class GraphqlError(Exception):
    """A query that is refused; `code` is what clients tell errors apart by."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


async def execute(engine: Engine, served: Addresses, body: Mapping[str, Any]) -> Object:
    """Return the answer to the body of a GraphQL request."""
    try:
        variables = body.get("variables") or {}
        if not isinstance(body.get("query"), str) or not isinstance(variables, dict):
            raise GraphqlError("query is required: a string, and variables an object")
        name = body.get("operationName")
        if not isinstance(name, str | None):
            raise GraphqlError("operationName must be a string")
        operation = read_document(body["query"], variables, name)
        table = MUTATIONS if operation.kind == "mutation" else QUERIES
        data = {field.key: await _answer(engine, served, field, table, operation.kind) for field in operation.fields}
        return {"data": data}
    except DocumentError as error:
        return _refused(str(error), "GRAPHQL_PARSE_FAILED")
    except GraphqlError as error:
        return _refused(str(error), error.code)
    except ApiFault as fault:
        return _refused(fault.text, "NOT_FOUND" if fault.status == 404 else "UNPROCESSABLE")


async def _answer(engine: Engine, served: Addresses, field: Field, table: Mapping[str, Answer], kind: str) -> Any:
    answer = table.get(field.name)
    if answer is None:
        raise GraphqlError(f"the local engine has no {kind} {field.name!r}", "UNKNOWN_QUERY")
    found = answer(Asked(engine, served, field.arguments))
    return _cut(await found if hasattr(found, "__await__") else found, field.fields, field.name)


def _cut(value: Any, fields: tuple[Field, ...], path: str) -> Any:
    """Return those members of the value that were asked for.

    Raises GraphqlError if the value has no such member.
    """
    if isinstance(value, list) and fields:
        return [_cut(one, fields, path) for one in value]
    if not fields and _is_chosen_from(value):
        raise GraphqlError(f"say which fields of {path} are wanted", "NO_FIELDS")
    if not isinstance(value, dict) or not fields:
        return value
    found: Object = {}
    for field in fields:
        if field.name == "__typename":
            found[field.key] = None
            continue
        if field.name not in value:
            raise GraphqlError(f"the local engine has no {path}.{field.name}", "UNKNOWN_FIELD")
        member = value[field.name]
        member = member(field.arguments) if callable(member) else member
        found[field.key] = _cut(member, field.fields, f"{path}.{field.name}")
    return found


def _is_chosen_from(value: Any) -> bool:
    """Return whether the value has members that are found only if they are asked for."""
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(callable(member) or _is_chosen_from(member) for member in members)


def _refused(text: str, code: str) -> Object:
    return {"data": None, "errors": [{"message": text, "extensions": {"code": code} if code else {}}]}


# Queries


def _app(asked: Asked) -> Object:
    name = _text(asked, "name")
    if name not in asked.engine.store.apps:
        raise GraphqlError("Could not find App", "NOT_FOUND")
    return answers.app(asked.engine, name, asked.served)


def _apps(asked: Asked) -> Object:
    org = _text(asked, "organizationId")
    names = [app.name for app in asked.engine.store.apps.values() if org in {"", app.org}]
    return answers.nodes(answers.app(asked.engine, name, asked.served) for name in names)


def _organization(asked: Asked) -> Object:
    slug = _text(asked, "slug") or _text(asked, "id")
    if slug not in asked.engine.organizations():
        raise GraphqlError("Could not find Organization", "NOT_FOUND")
    return answers.organization(slug)


def _organizations(asked: Asked) -> Object:
    return answers.nodes(answers.organization(slug) for slug in asked.engine.organizations())


def _machine(asked: Asked) -> Object:
    machine = asked.engine.store.machine(str(asked.arguments.get("machineId") or asked.arguments.get("id")))
    if machine is None or machine.is_destroyed:
        raise GraphqlError("Could not find Machine", "NOT_FOUND")
    return answers.machine_node(asked.engine, machine, asked.served)


def _volume(asked: Asked) -> Object:
    volume = asked.engine.store.volumes.get(str(asked.arguments.get("id")))
    if volume is None:
        raise GraphqlError("Could not find Volume", "NOT_FOUND")
    return answers.volume_node(asked.engine, volume, asked.served)


def _text(asked: Asked, name: str) -> str:
    """Return the argument; empty if it is not given. Raises GraphqlError."""
    value = asked.arguments.get(name)
    if not isinstance(value, str | None):
        raise GraphqlError(f"{name} must be a string")
    return value or ""


def _platform(_asked: Asked) -> Object:
    return {"requestRegion": HERE, "regions": answers.regions()}


def _nearest_region(_asked: Asked) -> Object:
    return next(region for region in answers.regions() if region["code"] == HERE)


def _latest_image_details(asked: Asked) -> Object:
    """Refuse, as the platform does for an image that it does not publish itself.

    Of such an image it knows no newer version.
    """
    raise GraphqlError(f"Unknown repository '{asked.arguments.get('image')}'", "NOT_FOUND")


# Mutations


def _allocate_address(asked: Asked) -> Object:
    given = _input(asked)
    app = asked.engine.app(str(given.get("appId")))
    address = asked.engine.addresses.assign(app.name, given)
    return {
        "app": answers.app(asked.engine, app.name, asked.served),
        "ipAddress": None if address.kind == "shared_v4" else answers.address(address, app.org),
    }


def _release_address(asked: Asked) -> Object:
    given = _input(asked)
    name, ip = given.get("appId"), given.get("ip")
    if given.get("ipAddressId"):  # an older way to say it: the id alone, as `answers.address` makes it
        name, _, ip = str(given["ipAddressId"]).partition("/")
    app = asked.engine.app(str(name))
    asked.engine.addresses.release(app.name, ip)
    return {"clientMutationId": given.get("clientMutationId"), "app": answers.app(asked.engine, app.name, asked.served)}


def _create_app(asked: Asked) -> Object:
    given = _input(asked)
    app = asked.engine.create_app(given.get("name"), given.get("organizationId"))
    return {"app": answers.app(asked.engine, app.name, asked.served)}


def _set_secrets(asked: Asked) -> Object:
    given = _input(asked)
    app, pairs = asked.engine.app(str(given.get("appId"))).name, given.get("secrets")
    if not isinstance(pairs, list) or not all(
        isinstance(one, dict) and isinstance(one.get("key"), str) for one in pairs
    ):
        raise GraphqlError("secrets is required: a list of objects, each with key and value")
    values: Object = {one["key"]: one.get("value") or "" for one in pairs}
    if given.get("replaceAll"):
        values = {one.name: None for one in asked.engine.secrets.of(app)} | values
    return _change_secrets(asked, app, values)


def _unset_secrets(asked: Asked) -> Object:
    given = _input(asked)
    app, keys = asked.engine.app(str(given.get("appId"))).name, given.get("keys")
    if not isinstance(keys, list) or not all(isinstance(one, str) for one in keys):
        raise GraphqlError("keys is required: a list of names")
    return _change_secrets(asked, app, dict.fromkeys(keys))


def _change_secrets(asked: Asked, app: str, values: Object) -> Object:
    asked.engine.secrets.set(app, values)
    found = answers.app(asked.engine, app, asked.served)
    return {"app": found, "release": found["currentRelease"]}


async def _delete_app(asked: Asked) -> Object:
    app = asked.engine.app(str(asked.arguments.get("appId")))
    await asked.engine.delete_app(app.name)
    return {"organization": answers.organization(app.org)}


def _input(asked: Asked) -> dict[str, Any]:
    given = asked.arguments.get("input")
    if not isinstance(given, dict):
        raise GraphqlError("input is required: an object")
    return given


QUERIES: Final[Mapping[str, Answer]] = {
    "app": _app,
    "apps": _apps,
    "appNameAvailable": lambda asked: _text(asked, "name") not in asked.engine.store.apps,
    "canPerformBluegreenDeployment": lambda asked: _app(asked) is not None,
    "organization": _organization,
    "organizations": _organizations,
    "viewer": lambda _: answers.user(),
    "platform": _platform,
    "nearestRegion": _nearest_region,
    "machine": _machine,
    "volume": _volume,
    "latestImageDetails": _latest_image_details,
}
MUTATIONS: Final[Mapping[str, Answer]] = {
    "allocateIpAddress": _allocate_address,
    "releaseIpAddress": _release_address,
    "createApp": _create_app,
    "deleteApp": _delete_app,
    "setSecrets": _set_secrets,
    "unsetSecrets": _unset_secrets,
}
