"""The tasks of this project, and what a page answers when one cannot run."""

import atexit
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from reconciler import ApiError, NotStartedError, OutcomeName, Tasks

# For all threads. It opens its connections at the first call, so a server may fork after this.
tasks = Tasks(settings.MACHINES_APP)
atexit.register(tasks.close)


class AnswerErrors:
    """Answer by what the user can do, where a view could not start or find a run."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        match error:
            case NotStartedError() if error.outcome.name is OutcomeName.BUSY:
                response = _told(request, "All machines are busy. Send it again in a moment.", 503)
                response["Retry-After"] = "10"
                return response
            case NotStartedError() if error.outcome.name is OutcomeName.REFUSED:
                return _told(request, "This form was sent before, with another repository.", 409)
            case NotStartedError() if error.outcome.name is OutcomeName.LOST:  # it may have started
                return _told(request, "No answer yet. Send the same form again: it starts nothing twice.", 504)
            case ApiError() if error.is_passing:
                return _told(request, "The machines do not answer. Send it again in a moment.", 503)
            case NotStartedError() | ApiError():
                return _told(request, error.message, 502)
            case _:
                return None


def _told(request: HttpRequest, text: str, status: int) -> HttpResponse:
    return render(request, "error.html", {"text": text}, status=status)
