"""Five journeys of a new user, each from an empty directory to a first run, as it is typed.

1. A Laravel app with a fly.toml: test_from_files.py. Its pages docs/how-to/laravel.md and from-fly-toml.md are run as
   they stand by tests/test_pages.py, and what init makes of other files is in tests/cli/test_init_applied.py.
2. A Dockerfile and nothing else: test_from_files.py.
3. An app that flyctl made: test_live_app.py. Each rule of the import is in tests/cli/test_import.py.
4. A pipeline: test_pipeline.py. A team's week on GitHub, with an approval of each kind, is in
   tests/workflows/test_teams_week.py, GitLab's in tests/workflows/test_gitlab.py.
5. A user of the Python library: test_python.py. The programs of docs/how-to/tasks-from-python.md and library.md are run
   by tests/test_pages.py, the example of testing.md by tests/testing/test_example.py.

A user types nothing that the README, one page that it links, or an earlier command has not named.
"""
