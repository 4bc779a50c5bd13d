"""Two pages: a form that starts a run, and how a run stands."""

from uuid import uuid4

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from reconciler import UsageError
from releases.machines import tasks


class ReleaseForm(forms.Form):
    # It becomes the task's argument, and cannot be taken for an option.
    repository = forms.RegexField(r"^\w[\w.-]*/\w[\w.-]*$", max_length=140)
    # The idempotency key: a form that is sent twice starts one run.
    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)


@never_cache
def start(request: HttpRequest) -> HttpResponse:
    form = ReleaseForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "start.html", {"form": form}, status=400 if form.errors else 200)
    run = tasks.invoke(
        "get-release",
        args=[form.cleaned_data["repository"]],
        key=str(form.cleaned_data["key"]),
        on_busy="fail",
        timeout="10m",
    )
    return redirect("run", run_id=run.id)  # it goes on, whoever asks for it


@never_cache
@require_safe
def show(request: HttpRequest, run_id: str) -> HttpResponse:
    """Show how the run stands, whichever process started it; while it goes on, the page loads itself again."""
    try:
        run = tasks.find(run_id)
    except UsageError as error:
        raise Http404("there is no such run") from error
    outcome = run.info.outcome
    lines = [line.message for line in run.logs()] if outcome else []
    return render(request, "run.html", {"run": run.info, "outcome": outcome, "lines": lines})
