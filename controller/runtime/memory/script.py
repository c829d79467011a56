"""What a simulated process does, read from its arguments.

| arguments | what it does |
|---|---|
| `true`, `false` | ends at once, with 0 or 1 |
| `exit N` | ends at once with N |
| `sleep N` | ends after N seconds (`infinity`: never) with 0; as the first process of a container it ignores every signal but
SIGKILL |
| `cat` | writes what it reads, and ends with its input: at once in a container without standard input and terminal |
| `sh -c TEXT` | see below |
| a name that begins with `nosuch` | cannot be started: command not found |
| anything else | runs until a signal ends it, with 128 + its number |

Of a shell's text these statements are understood, separated by `;`, in their order: `exit N`, `sleep N`, `echo WORDS`,
`echo WORDS >&2`, `trap "exit N" SIGNAL`, `trap "" SIGNAL`, `dd ... bs=1M count=N` (it fills N MiB of memory). A `while` runs
for ever; others are passed over. A shell ignores signals that it has no trap for, as the kernel has it for the first process of
a container (pid_namespaces(7)).
"""

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from controller.runtime.port import CommandFailure, Stream
from controller.runtime.signals import signal_number

FOREVER: Final = float("inf")

_TRAP: Final = re.compile(r"""^trap\s+(["'])(?P<action>.*?)\1\s+(?P<signal>\w+)$""")
_FILL: Final = re.compile(r"^dd\s.*\bbs=1M\s+count=(?P<count>\d+)$")
_ECHO: Final = re.compile(r"^echo\s+(?P<words>.*?)(?P<stderr>\s*>&2)?$")


@dataclass(frozen=True, slots=True)
class Script:
    """A process as it would go on without anybody's doing."""

    seconds: float = FOREVER
    exit_code: int = 0
    output: tuple[tuple[Stream, bytes], ...] = ()
    traps: Mapping[int, int | None] = field(default_factory=dict)
    """By signal: the exit code that it leads to, None when it is ignored."""
    memory_bytes: int = 0
    """What it fills."""
    ignores: bool = False
    """Signals without a trap do nothing."""
    echoes: bool = False
    """It writes what it reads."""

    def exit_code_by(self, number: int) -> int | None:
        """The exit code that a signal leads to, None when it does not end the process."""
        if number == signal.SIGKILL:
            return 128 + number
        if number in self.traps:
            return self.traps[number]
        return None if self.ignores else 128 + number


def read_script(args: Sequence[str]) -> Script:
    """Read the arguments.

    Raises:
        CommandFailure: when they name a command that is not there.
    """
    command = args[0].rpartition("/")[2]
    if command.startswith("nosuch"):
        raise CommandFailure(f"command {args[0]!r} not found")
    simple = {"true": Script(0, 0), "false": Script(0, 1), "cat": Script(echoes=True)}
    if command in simple:
        return simple[command]
    if command == "exit":
        return Script(0, int(args[1]))
    if command == "sleep":
        return Script(_seconds(args[1]), ignores=True)
    if command == "sh" and len(args) > 2 and args[1] == "-c":
        return _read_shell(args[2])
    return Script()


def _seconds(text: str) -> float:
    return FOREVER if text == "infinity" else float(text)


def _read_shell(text: str) -> Script:
    seconds, exit_code, memory = 0.0, 0, 0
    output: list[tuple[Stream, bytes]] = []
    traps: dict[int, int | None] = {}
    for statement in (part.strip() for part in text.split(";")):
        word, _, rest = statement.partition(" ")
        if trap := _TRAP.match(statement):
            action = trap["action"].split()
            traps[signal_number(trap["signal"])] = int(action[1]) if action[:1] == ["exit"] else None
        elif echo := _ECHO.match(statement):
            line = echo["words"].strip("\"'").encode() + b"\n"
            output.append((Stream.STDERR if echo["stderr"] else Stream.STDOUT, line))
        elif fill := _FILL.match(statement):
            memory += int(fill["count"]) << 20
        elif word == "sleep":
            seconds += _seconds(rest)
        elif word == "while":
            seconds = FOREVER
        elif word == "exit":
            exit_code = int(rest or 0)
            break
    return Script(seconds, exit_code, tuple(output), traps, memory, ignores=True)
