"""The executor and the bookkeeping: edges, the one limit, and that what fails stops nothing else."""

import asyncio
from dataclasses import dataclass, field

import pytest

from reconciler.apply.executor import Executor, Stop


@dataclass(frozen=True, kw_only=True)
class Step:
    address: str
    depends_on: tuple[str, ...] = ()


@dataclass
class Book:
    """Takes a second to write each step, and fails those that are named."""

    failing: frozenset[str] = frozenset()
    under_way: int = 0
    most: int = 0
    ended: list[str] = field(default_factory=list)

    async def write(self, step: Step) -> str | None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(1)
        self.under_way -= 1
        self.ended.append(step.address)
        return f"{step.address}: could not be written" if step.address in self.failing else None


def executor(parallelism: int) -> Executor:
    return Executor(parallelism=parallelism, stop=Stop(), explain=str)


@pytest.mark.parametrize("parallelism", [1, 3])
async def test_no_more_than_the_limit_allows_are_written_at_once(parallelism: int) -> None:
    book = Book()
    assert await executor(parallelism).keep([Step(address=str(number)) for number in range(7)], book.write) == ()
    assert (book.most, len(book.ended)) == (parallelism, 7)


async def test_bookkeeping_waits_for_a_place_that_something_else_has() -> None:
    one, book = executor(1), Book()
    async with one.limit:
        keeping = asyncio.create_task(one.keep([Step(address="a")], book.write))
        await asyncio.sleep(5)
        assert not book.under_way
    assert await keeping == ()


async def test_a_step_follows_what_it_depends_on_also_if_that_fails() -> None:
    book = Book(failing=frozenset({"override"}))
    steps = [Step(address="marks", depends_on=("override", "elsewhere")), Step(address="override")]
    assert await executor(5).keep(steps, book.write) == ("override: could not be written",)
    assert book.ended == ["override", "marks"]
