"""Apply fault rules to a request: before the call, or to its reply.

Which faults there are, and which rule matches, is decided in `faults/rules.py`.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeAlias

from reconciler.engine.engine import Engine
from reconciler.engine.errors import ApiFault
from reconciler.engine.faults.rules import (
    API_FAULTS,
    BEFORE_CALL_FAULTS,
    NEVER_COMMITTED,
    REPLY_FAULTS,
    ForeignAct,
    ReplyFault,
    Rule,
    api_fault,
)
from reconciler.engine.http.messages import JSONResponse, NoReply, Request, Response
from reconciler.engine.http.routes import Endpoint
from reconciler.engine.models import Machine

_THIEF: Final = "someone else"

Answer: TypeAlias = Callable[[Endpoint, Request], Awaitable[Response]]
"""Carries the request out, and returns its reply."""


async def reply_under_faults(engine: Engine, endpoint: Endpoint, request: Request, answer: Answer) -> Response:
    """Return the reply of `answer`, or what a fault rule makes of it."""
    number = engine.faults.next_request()
    if not engine.faults.rules:
        return await answer(endpoint, request)
    machine = engine.store.machine(request.path_params.get("machine", ""))
    where: dict[str, Any] = {
        "call": endpoint.call,
        "app": request.path_params.get("app", ""),
        "machine": machine.name if machine else "",
        "image": str(machine.config.get("image") or "") if machine else "",
        "request": number,
    }
    if rule := engine.faults.find(BEFORE_CALL_FAULTS, **where):
        await _act_before_call(engine, rule, machine)
    rule = engine.faults.find((*API_FAULTS, *REPLY_FAULTS), **where)
    if rule is None:
        return await answer(endpoint, request)
    return await _faulty_reply(engine, rule, partial(answer, endpoint, request))


async def _act_before_call(engine: Engine, rule: Rule, machine: Machine | None) -> None:
    """Do to the machine what another party would do just before the call."""
    if machine is None or machine.is_destroyed:
        return
    match ForeignAct(rule.fault):
        case ForeignAct.VANISH:
            engine.vanish(machine)
        case ForeignAct.FOREIGN_START:
            await engine.start_unleased(machine)
        case ForeignAct.STEAL_LEASE:
            engine.leases.drop(machine, thief=_THIEF, ttl_s=int(rule.seconds))
        case ForeignAct.LOSE_LEASE:
            engine.leases.drop(machine)


async def _faulty_reply(engine: Engine, rule: Rule, answer: Callable[[], Awaitable[Response]]) -> Response:
    if rule.fault in API_FAULTS:
        if rule.is_committed:
            await answer()
        return fault_response(api_fault(rule.fault))
    fault = ReplyFault(rule.fault)
    if fault in NEVER_COMMITTED:
        return NoReply(is_refused=fault is ReplyFault.REFUSE_CONNECTION)
    if fault is ReplyFault.LATE_REQUEST:
        await engine.clock.sleep(rule.seconds)
    response = await answer()
    match fault:
        case ReplyFault.LOSE_REPLY | ReplyFault.LOSE_REQUEST | ReplyFault.REFUSE_CONNECTION:
            return NoReply(is_refused=fault is ReplyFault.REFUSE_CONNECTION)
        case ReplyFault.LATE_REPLY:
            await engine.clock.sleep(rule.seconds)
            return response
        case ReplyFault.LATE_REQUEST:
            return response
        case ReplyFault.HTML:
            return Response("<html><body>Sign in</body></html>", media_type="text/html")
        case ReplyFault.EMPTY_LIST:
            return JSONResponse([])
        case ReplyFault.HALF_REPLY:
            content = response.body[: len(response.body) // 2]
            return Response(content, response.status_code, media_type=response.media_type)


def fault_response(fault: ApiFault) -> Response:
    """Return the reply for the error: JSON, or HTML for a gateway's page."""
    if fault.text.startswith("<"):
        return Response(fault.text, fault.status, media_type="text/html")
    return JSONResponse(fault.body(), status_code=fault.status)
