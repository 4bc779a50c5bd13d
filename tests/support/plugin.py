"""How the tests of the pytest plugin run pytest."""

# Tools of this project that a user's run would not have, and that take most of two seconds to load.
WITHOUT_OURS = ("-p", "no:schemathesis", "-p", "no:hypothesispytest")
