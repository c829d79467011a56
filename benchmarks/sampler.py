"""`python -m benchmarks.sampler PROFILE ARGUMENT...`: the `moorage` command with a sampling profiler in it.

A thread looks at the stacks of all others a thousand times a second, between SIGUSR1 and SIGUSR2, and counts those of threads
that have used CPU since the last look. Each thread's samples are then scaled to the CPU time which the kernel counted for it,
so the sums are right, and only the shares are estimates. It costs some percent, and distorts less than a deterministic
profiler, which would charge small functions for its own work.

With each SIGUSR2 the profile of all samples so far is written: tables for people, and beside it `.folded`, the stacks in the
format of flame graph tools.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from types import CodeType, FrameType

from benchmarks.profiles import Profile, Stack

BEGIN = signal.SIGUSR1
END = signal.SIGUSR2
INTERVAL_SECONDS = 0.001
SWITCH_SECONDS = 0.00002
"""How soon a running thread makes way for the sampler (`sys.setswitchinterval`; the default of 5 ms would blur the samples)."""

_WAITING = frozenset({"EpollSelector.select", "Condition.wait", "Event.wait", "Thread._wait_for_tstate_lock", "_worker"})
"""Innermost functions of threads that wait: CPU since the last look was not used there, but in a burst that is over."""


class Sampler:
    """Takes samples of all threads of this process but its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._on = threading.Event()
        self._samples: Counter[tuple[str, tuple[CodeType, ...]]] = Counter()
        self._cpu: dict[str, float] = {}
        self._clocks: dict[int, float] = {}
        self._thread: threading.Thread | None = None

    def begin(self, *_: object) -> None:
        """Take samples from now on."""
        if self._thread is None:
            self._on.set()
            self._clocks.clear()
            self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
            self._thread.start()

    def end(self, *_: object) -> None:
        """Stop taking samples, and write the profile."""
        if self._thread is not None:
            self._on.clear()
            self._thread.join()
            self._thread = None
            self._profile().write(self._path)

    def _run(self) -> None:
        own = threading.get_ident()
        before = self._native_clocks()
        usual = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        while self._on.is_set():
            time.sleep(INTERVAL_SECONDS)
            for ident, frame in sys._current_frames().items():
                if ident != own:
                    self._look(ident, frame)
        sys.setswitchinterval(usual)
        for name, seconds in self._native_clocks().items():
            self._cpu[name] = self._cpu.get(name, 0.0) + seconds - before.get(name, 0.0)

    def _look(self, ident: int, frame: FrameType) -> None:
        clock = time.clock_gettime(time.pthread_getcpuclockid(ident))
        used = clock - self._clocks.get(ident, clock)
        self._clocks[ident] = clock
        if used < INTERVAL_SECONDS / 5 or frame.f_code.co_qualname in _WAITING:
            return
        stack = []
        at: FrameType | None = frame
        while at is not None:
            stack.append(at.f_code)
            at = at.f_back
        self._samples[_thread_name(ident), tuple(stack)] += 1

    def _native_clocks(self) -> dict[str, float]:
        """CPU time of every thread but this one, those that Python does not know included, by name."""
        names = {thread.native_id: thread.name for thread in threading.enumerate()}
        own = threading.get_native_id()
        clocks: defaultdict[str, float] = defaultdict(float)
        for task in Path("/proc/self/task").iterdir():
            if int(task.name) == own:
                continue
            try:
                nanoseconds = int((task / "schedstat").read_text().split()[0])
                name = names.get(int(task.name)) or (task / "comm").read_text().strip()
            except (FileNotFoundError, ProcessLookupError):
                continue
            clocks[name] += nanoseconds / 1e9
        return clocks

    def _profile(self) -> Profile:
        stacks: Counter[tuple[str, Stack]] = Counter()
        for (thread, codes), count in self._samples.items():
            stacks[thread, tuple((code.co_filename, code.co_qualname) for code in reversed(codes))] += count
        return Profile(stacks, self._cpu)


def _thread_name(ident: int) -> str:
    thread = threading._active.get(ident)  # type: ignore[attr-defined]  # enumerate() takes a lock that a sampled thread may hold
    return thread.name if thread is not None else "?"


def main() -> None:
    """Be the `moorage` command, with a sampler that listens for signals."""
    path, *arguments = sys.argv[1:]
    sampler = Sampler(Path(path))
    signal.signal(BEGIN, sampler.begin)
    signal.signal(END, sampler.end)
    from controller.cli import main as moorage

    sys.argv = ["moorage", *arguments]
    moorage()


if __name__ == "__main__":
    main()
