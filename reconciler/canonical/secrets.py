"""Find the secret values of a config: those below certain members, anywhere.

Members of sections that we do not know, and of the other bodies that the API is sent, are looked for by the same names.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.canonical.sections import SECRET_MEMBERS


def secret_values(value: Any, *, is_secret: bool = False) -> Iterator[str]:
    """Yield every string below a secret member of a config, or of any body."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from secret_values(member, is_secret=is_secret or key in SECRET_MEMBERS)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from secret_values(member, is_secret=is_secret)
    elif is_secret and isinstance(value, str):
        yield value
