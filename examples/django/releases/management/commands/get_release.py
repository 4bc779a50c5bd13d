"""`python manage.py get_release OWNER/REPO` runs the task, shows its output, and ends as the run does."""

from django.core.management.base import BaseCommand, CommandError, CommandParser

from reconciler import ReconcilerError, RunFailedError
from releases.machines import tasks


class Command(BaseCommand):
    help = "Runs the task get-release on a machine of its own."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("repository", metavar="OWNER/REPO")

    def handle(self, *, repository: str, **_options: object) -> None:
        try:
            run = tasks.invoke("get-release", args=[repository], timeout="10m")
            try:
                for line in run.logs():
                    self.stdout.write(line.message)
                run.check()
            except KeyboardInterrupt:  # without this the run would go on
                run.cancel()
                raise
        except RunFailedError as error:
            raise CommandError(error, returncode=error.outcome.exit_code) from error
        except ReconcilerError as error:
            raise CommandError(f"{error.message}; {error.hint}" if error.hint else error.message) from error
