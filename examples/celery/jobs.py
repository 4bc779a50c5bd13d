"""A Celery task that runs a task on a machine of its own, and is safe to try again.

The id of the job is the idempotency key. So a retry, a worker that was killed, or a broker that delivers a job twice
start nothing twice: they attach to the run that goes on, or get the end that it had.

Run it with `celery --workdir examples/celery -A jobs worker`. The environment says where the machines are, as for the
command (`RECONCILER_TARGET=local`, or a token), APP whose tasks they are, and BROKER_URL and RESULT_URL what Celery
uses.
"""

import os
import re
from typing import Any

from celery import Celery, Task, signals

from reconciler import ApiError, NotStartedError, OutcomeName, ReconcilerError, RunFailedError, Tasks

REPOSITORY = re.compile(r"\w[\w.-]{0,69}/\w[\w.-]{0,69}")  # it cannot be taken for an option of the command

app = Celery("jobs", broker=os.environ.get("BROKER_URL"), backend=os.environ.get("RESULT_URL"))
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1)

tasks = Tasks(os.environ.get("APP", "on-demand"))  # opened at the first call, so each process of a worker has its own


@signals.worker_process_shutdown.connect
@signals.worker_shutdown.connect
def close(**_signal: object) -> None:
    """Close the connections. Runs go on."""
    tasks.close()


class JobFailedError(Exception):
    """Why a job failed, in words: all that a backend of JSON can store of an error."""


@app.task(bind=True, max_retries=20, default_retry_delay=30)
def get_release(job: Task, repository: str) -> dict[str, Any]:
    """Run the task, and return its output. A run that failed fails the job for good: its end stays what it is."""
    if not REPOSITORY.fullmatch(repository):
        raise ValueError("repository must be OWNER/REPO")
    try:
        run = tasks.invoke("get-release", args=[repository], key=job.request.id, on_busy="fail", timeout="10m")
        run.check()
        return {"run": run.id, "output": [line.message for line in run.logs()]}
    except ReconcilerError as error:
        failed = JobFailedError(str(error))
        if is_passing(error):
            raise job.retry(exc=failed) from error
        raise failed from error


def is_passing(error: ReconcilerError) -> bool:
    """Return whether another try may do better, or find the run that this one has started."""
    match error:
        case NotStartedError() | RunFailedError():
            return error.outcome.name in {OutcomeName.BUSY, OutcomeName.LOST}
        case ApiError():
            return error.is_passing
        case _:
            return False
