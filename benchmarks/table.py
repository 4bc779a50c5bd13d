"""A run's figures as a Markdown table, for the terminal and for the documentation."""

from typing import Any

BEGIN = "<!-- the last run of `make bench` -->"
END = "<!-- until here -->"


def table(run: dict[str, Any]) -> str:
    """The environment, and a line for each figure."""
    where = run["environment"]
    rows = [("what", "takes", "against", "which takes", "ratio", "goal"), ("---",) * 6, *map(_row, run["figures"])]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    head = f"Python {where['python']}, {where['cores']} cores, {where['system']}, {where['date']}"
    if where["baseline"]:
        head += f"; the baseline is commit {where['baseline'][:7]}"
    return f"{head}\n\n" + "\n".join(lines)


def written_into(text: str, run: dict[str, Any]) -> str:
    """The document with this run's table between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(run)}\n\n{END}{after}"


def _row(figure: dict[str, Any]) -> tuple[str, ...]:
    amounts = [_spelled(figure[key], figure) for key in ("amount", "baseline_amount")]
    value = f"{figure['value']:.2f}" if figure["exponent"] is None else f"exponent {figure['value']:.2f}"
    return figure["name"], amounts[0], figure["baseline"], amounts[1], value, _goal(figure)


def _goal(figure: dict[str, Any]) -> str:
    goal = figure["goal"]
    if goal is None:
        return ""
    aim = "" if goal["aim"] is None else f" (aim: {goal['aim']:g})"
    return f"{goal['bound']} {goal['at']:g}{aim}, {'met' if figure['is_met'] else 'missed'}"


def _spelled(amount: float, figure: dict[str, Any]) -> str:
    match figure["unit"]:
        case "s":
            seconds = f"{amount * 1000:.1f} ms" if amount < 1 else f"{amount:.2f} s"
            return seconds + (" of CPU" if figure["is_cpu"] else "")
        case "/s":
            return f"{amount:,.0f} a second"
        case unit:
            return f"{amount:,.0f} {unit}"
