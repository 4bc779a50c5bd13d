"""A run's figures as a Markdown table, for the terminal and for the documentation."""

from typing import Any

BEGIN = "<!-- the last run of `make bench` -->"
END = "<!-- until here -->"


def table(run: dict[str, Any]) -> str:
    """The environment, and a line for each figure."""
    where = run["environment"]
    rows = [("what", "takes", "against", "which takes", "ratio", "goal"), ("---",) * 6]
    for figure in run["figures"]:
        unit = figure["unit"]
        amount, baseline_amount = (_spelled(figure[key], unit) for key in ("amount", "baseline_amount"))
        rows.append(
            (figure["name"], amount, figure["baseline"], baseline_amount, f"{figure['ratio']:.2f}", _goal(figure))
        )
    lines = [f"| {' | '.join(row)} |" for row in rows]
    head = f"Python {where['python']}, {where['cores']} cores, {where['system']}, {where['date']}"
    return f"{head}\n\n" + "\n".join(lines)


def written_into(text: str, run: dict[str, Any]) -> str:
    """The document with this run's table between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(run)}\n\n{END}{after}"


def _goal(figure: dict[str, Any]) -> str:
    if figure["goal"] is None:
        return ""
    return f"under {figure['goal']:g}" + ("" if figure["is_met"] else ", missed")


def _spelled(amount: float, unit: str) -> str:
    if unit == "MB":
        return f"{amount:.0f} MB"
    return f"{amount * 1000:.1f} ms" if amount < 1 else f"{amount:.2f} s"
