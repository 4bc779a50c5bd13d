"""Read the values of options: numbers, words, names and durations."""

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


class Text(click.ParamType[str]):
    """A word that is sent or looked for. File names are no such words: any bytes."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from reconciler.model.unicode import escaped, is_utf8

        text = str(value)
        if not is_utf8(text):
            self.fail(f"'{escaped(text)}' is not UTF-8 text", param, ctx)
        return text


class Environment(Text):
    """The name of an environment."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from reconciler.operations.spec_files import hint_for_environment, problem_of_environment

        name = super().convert(value, param, ctx)
        if problem := problem_of_environment(name):
            hint = hint_for_environment(name)
            self.fail(f"{problem}; {hint}" if hint else problem, param, ctx)
        return name


class NamedText(Text):
    """A word that must not be empty, such as a target."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return Named().convert(super().convert(value, param, ctx), param, ctx)


class Duration(click.ParamType[float]):
    """A duration such as 30s, 10m or 1h30m; its value is in seconds."""

    name = "duration"

    def __init__(self, *, may_be_zero: bool = True) -> None:
        self.may_be_zero = may_be_zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        import re

        from reconciler.model.run_policy import LONGEST_S

        units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
        text = str(value)
        if not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", text):
            self.fail(f"{text!r} is not a duration; write it like 30s, 10m or 1h30m", param, ctx)
        seconds = sum(float(number) * units[unit] for number, _, unit in re.findall(r"(\d+(\.\d+)?)(ms|s|m|h)", text))
        if seconds > LONGEST_S:
            self.fail(f"{text!r} is longer than {LONGEST_S // 3600}h, a hundred years", param, ctx)
        if seconds == 0 and not self.may_be_zero:
            self.fail(f"{text!r} is no time at all", param, ctx)
        return seconds
