"""Journeys 1 and 2: a Laravel app with a fly.toml, and a Dockerfile alone."""

from pathlib import Path

from tests.support.journey import Journey

PAGE = "how-to/from-fly-toml.md"
FLY_TOML = (Path(__file__).parents[1] / "cases" / "fly-toml" / "laravel.toml").read_text()
DOCKERFILE = "FROM debian\nCMD say done exit 4\n"


def test_a_laravel_app_with_a_fly_toml(journey: Journey) -> None:
    journey.write("artisan", "")
    journey.write("fly.toml", FLY_TOML.replace("[env]", '[env]\n  APP_KEY = "base64:aGVsbG8gd29ybGQ="'))
    journey.engine.script("run 1000000", machine="app-*")
    journey.engine.script("say migrated exit 3", machine="release-*")
    journey.engine.script("say '40 orders'", machine="report-*")

    assert "from fly.toml: app shop, 1 service, 1 task." in journey.follows("reconciler init")
    journey.export("APP_KEY", "base64:aGVsbG8gd29ybGQ=")
    journey.follows("reconciler plan --target local")
    journey.types("reconciler apply --yes")
    assert journey.runs("reconciler invoke release", code=3) == "migrated\n"
    assert len(journey.typed) == 5
    assert "No changes. 2 machines are as declared." in journey.types("reconciler plan --detailed-exitcode")

    told = next(line for line in journey.told.splitlines() if "For a run on demand" in line)
    line = told.partition("below `tasks:`: ")[2].removesuffix(", and apply;")
    spec = (journey.directory / "machines.yaml").read_text()
    journey.write("machines.yaml", spec.replace("    tasks:\n", f"    tasks:\n      {line}\n"))
    assert "1 to create, 0 to update, 0 to replace, 0 to destroy. 2 unchanged." in journey.types(
        "reconciler apply --yes"
    )
    assert journey.runs("reconciler invoke report") == "40 orders\n"


def test_a_dockerfile_only(journey: Journey) -> None:
    journey.write("Dockerfile", DOCKERFILE)
    journey.engine.script("say done exit 4")
    assert "from Dockerfile: app shop, 1 task." in journey.follows("reconciler init")
    assert "there is no terminal to ask on" in journey.follows("reconciler apply --target local", code=1)
    assert "pass --yes" in journey.told
    journey.types("reconciler apply --yes --target local")
    assert journey.told.count("app shop created") == 1
    line = "reconciler invoke job --target local"
    assert line in journey.told
    assert journey.runs(line, code=4) == "done\n"
    assert "nothing to do" in journey.types("reconciler apply --yes")
