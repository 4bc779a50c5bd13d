"""A Flask app that starts a run of a task on a machine of its own, and is asked how it stands.

POST   /releases {"repository": "OWNER/REPO"}   starts a run, answers 202 with its id
GET    /runs/SLOT/ULID                           how it stands: 200 with its outcome once it has ended, else 202
DELETE /runs/SLOT/ULID                           ends it

Run it with `flask --app examples/flask/app.py run`. The environment says where the machines are, as for the command
(`RECONCILER_TARGET=local`, or a token), and FLASK_MACHINES_APP whose tasks they are.
"""

import atexit
import re
from typing import Any

from flask import Blueprint, Flask, current_app, request, url_for
from werkzeug.exceptions import BadRequest, NotFound

from reconciler import ApiError, NotStartedError, OutcomeName, Run, Tasks, UsageError

REPOSITORY = re.compile(r"\w[\w.-]{0,69}/\w[\w.-]{0,69}")  # it cannot be taken for an option of the command

runs = Blueprint("runs", __name__)


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["MACHINES_APP"] = "on-demand"
    app.config.from_prefixed_env()
    tasks = Tasks(app.config["MACHINES_APP"])  # for all threads; opened at the first call, after a server has forked
    atexit.register(tasks.close)
    app.extensions["tasks"] = tasks
    app.register_blueprint(runs)
    return app


@runs.post("/releases")
def start() -> Any:
    """Start a run. A client that repeats its request with the same Idempotency-Key gets the same run."""
    wanted = request.get_json()
    repository = wanted.get("repository") if isinstance(wanted, dict) else None
    if not isinstance(repository, str) or not REPOSITORY.fullmatch(repository):
        raise BadRequest("repository must be OWNER/REPO")
    key = request.headers.get("Idempotency-Key") or None
    run = _tasks().invoke("get-release", args=[repository], key=key, on_busy="fail", timeout="10m")
    return {"run": run.id}, 202, {"Location": url_for("runs.show", run_id=run.id)}


@runs.get("/runs/<path:run_id>")
def show(run_id: str) -> Any:
    """Tell how the run stands. A failed run is an answer, not an error."""
    outcome = _found(run_id).info.outcome
    if outcome is None:
        return {"run": run_id, "outcome": None}, 202, {"Retry-After": "2"}
    return {"run": run_id, "ok": outcome.ok, "outcome": outcome.name, "exit_code": outcome.task_code}


@runs.delete("/runs/<path:run_id>")
def cancel(run_id: str) -> Any:
    return {"run": run_id, "was_running": _found(run_id).cancel()}


def _tasks() -> Tasks:
    return current_app.extensions["tasks"]


def _found(run_id: str) -> Run:
    """Return the run, whichever process of this app started it."""
    try:
        return _tasks().find(run_id)
    except UsageError as error:
        raise NotFound("there is no such run") from error


@runs.errorhandler(NotStartedError)
def not_started(error: NotStartedError) -> Any:
    """Answer by what the caller can do: come back later, send another request, or look for the run."""
    content = {"error": error.message, "outcome": error.outcome.name}
    match error.outcome.name:
        case OutcomeName.BUSY:
            return content, 503, {"Retry-After": "10"}
        case OutcomeName.REFUSED:  # such as a key that came with other args before
            return content, 409
        case OutcomeName.LOST:  # it may have started: a new try with the same key finds out
            return content | {"run": error.run_id}, 504
        case _:
            return content, 502


@runs.errorhandler(ApiError)
def no_api(error: ApiError) -> Any:
    """Answer where the platform does not. Another try may succeed if `is_passing`."""
    return {"error": error.message}, 503 if error.is_passing else 502
