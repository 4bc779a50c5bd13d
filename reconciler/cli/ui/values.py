"""Values of options: whole numbers, and names that must not be empty."""

from typing import Any

import click


class Count(click.ParamType[int]):
    """A whole number of at least `least` and at most `most`."""

    name = "number"

    def __init__(self, least: int, most: int | None = None) -> None:
        self.least = least
        self.most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number = self._number(value)
        if number is None or number < self.least or (self.most is not None and number > self.most):
            wanted = f"of {self.least} or more" if self.most is None else f"from {self.least} to {self.most}"
            self.fail(f"{str(value)!r} is not a whole number {wanted}", param, ctx)
        return number

    @staticmethod
    def _number(value: Any) -> int | None:
        try:
            return int(value)
        except ValueError:
            return None


class Named(click.ParamType[str]):
    """A name: if it is empty, a variable was not set."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value:
            self.fail("it is empty: is a variable not set?", param, ctx)
        return str(value)
