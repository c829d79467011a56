"""How far transfers are, on stderr: bars on a terminal, a line now and then elsewhere, or nothing."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol, Self

import typer

from controller.agent.decide.pulling import PullView
from controller.agent.images.meter import Meter
from controller.api.people import duration_text, rate_text, size_text
from controller.cli.rows import short_image
from controller.runtime.port import PullProgress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

LINE_SECONDS: Final = 2.0
"""Pause between two lines of one transfer, and before its first: what is quicker needs none."""

REFRESHES: Final = 5.0
"""Of bars, each second."""

BAR_WIDTH: Final = 16
WORDS_WIDTH: Final = 38
"""The longest words: `999MB of 999MB, 999MB/s, 59m59s left`, and gaps."""
LEAST_NAME: Final = 20


class Reporter(Protocol):
    """Shows transfers."""

    @contextmanager
    def transfer(self, name: str, unpacks: str) -> Iterator["Transfer"]:
        """Show one for as long as the block runs.

        Args:
            name: of the image.
            unpacks: what is done when all bytes are there, in a word.
        """
        ...


class Transfer:
    """One transfer: takes in its progress, and tells how far it is."""

    def __init__(self, name: str, unpacks: str, moved: Callable[["Transfer"], None] = lambda _: None) -> None:
        self.name, self._unpacks, self._moved = name, unpacks, moved
        self._meter = Meter(name)
        self.began = monotonic()
        self._meter.begin(self.began)

    @property
    def moved(self) -> int:
        """Bytes that it has moved."""
        return self._meter.fetched

    def __call__(self, progress: PullProgress) -> None:
        """Take in what the runtime tells."""
        self._meter.add(progress, monotonic())
        self._moved(self)

    def view(self) -> PullView | None:
        """What to tell now; None while the size is not known."""
        return self._meter.read(monotonic())

    def words(self) -> str:
        """How far it is."""
        return words(self.view(), self._unpacks)


def words(view: PullView | None, unpacks: str) -> str:
    """How far a transfer is: `12MB of 45MB, 5.1MB/s, 7s left`. Pure."""
    if view is None:
        return "asking the registry"
    if view.bytes_done == view.bytes_total:
        return f"{size_text(view.bytes_total)}, {unpacks}"
    done = f"{size_text(view.bytes_done)} of {size_text(view.bytes_total)}"
    if view.eta_seconds is None:
        return f"{done}, nothing comes"
    return f"{done}, {rate_text(view.bytes_per_second)}, {duration_text(view.eta_seconds)} left"


def cut(name: str, most: int) -> str:
    """A name that is too long, without its beginning: of an image, the end says most. Pure."""
    return name if len(name) <= most else "…" + name[1 - most :]


class Silent:
    """Shows nothing."""

    @contextmanager
    def transfer(self, name: str, unpacks: str) -> Iterator[Transfer]:
        """See `Reporter`."""
        yield Transfer(name, unpacks)


class Lines:
    """A line for each transfer now and then, where there is no terminal."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = monotonic) -> None:
        self._write, self._clock = write, clock
        self._next: dict[str, float] = {}

    @contextmanager
    def transfer(self, name: str, unpacks: str) -> Iterator[Transfer]:
        """See `Reporter`."""
        self._next[name] = self._clock() + LINE_SECONDS
        yield Transfer(name, unpacks, self._moved)

    def _moved(self, transfer: Transfer) -> None:
        if self._clock() >= self._next[transfer.name]:
            self._next[transfer.name] = self._clock() + LINE_SECONDS
            self._write(f"{transfer.name}: {transfer.words()}")


class Bars:
    """A bar for each transfer, on a terminal; they go when it is over."""

    def __init__(self, console: "Console | None" = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
        from rich.table import Column
        from rich.text import Text

        class Told(ProgressColumn):
            """How far it is, computed anew each time: a rate falls when nothing comes, and nobody tells."""

            def render(self, task: Task) -> Text:
                return Text(task.fields["transfer"].words())

        self._console = console or Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            BarColumn(bar_width=BAR_WIDTH),
            Told(table_column=Column(no_wrap=True)),
            console=self._console,
            refresh_per_second=REFRESHES,
            transient=True,
            expand=True,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bars.stop()

    @contextmanager
    def transfer(self, name: str, unpacks: str) -> Iterator[Transfer]:
        """See `Reporter`."""
        transfer = Transfer(name, unpacks, lambda moved: self._moved(task, moved))
        shown = cut(short_image(name), max(self._console.width - BAR_WIDTH - WORDS_WIDTH, LEAST_NAME))
        task = self._bars.add_task(shown, total=None, transfer=transfer)
        try:
            yield transfer
        finally:
            self._bars.remove_task(task)

    def refresh(self) -> None:
        """Draw them now."""
        self._bars.refresh()

    def _moved(self, task: "TaskID", transfer: Transfer) -> None:
        view = transfer.view()
        if view is not None:
            self._bars.update(task, completed=view.bytes_done, total=view.bytes_total)


@contextmanager
def reporter(*, quiet: bool) -> Iterator[Reporter]:
    """What fits the place where a command runs."""
    if quiet:
        yield Silent()
    elif sys.stdout.isatty() and sys.stderr.isatty():
        with Bars() as bars:
            yield bars
    else:
        yield Lines(lambda line: typer.echo(line, err=True))
