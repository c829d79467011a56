"""The program that holds a PID namespace: it does nothing, and collects the processes that others leave behind. Pure.

A PID namespace ends with its first process (pid_namespaces(7)), so where containers share one, that process must be none of
theirs; pods have `pause` for it. It has to run in an empty root file system on any node, so it is written down here as what it
is: less than 300 bytes of an executable without libraries (elf(5)), for each architecture.

In C: `sigaction(SIGCHLD, SIG_IGN); for (;;) pause();`. With SIGCHLD ignored, the kernel itself collects whatever process
becomes its child and ends (wait(2), NOTES). Being the first of its namespace, no signal from within ends it.
"""

import struct
from typing import Final

NAME: Final = "pause"
"""What it is called among the processes, as in a pod."""

_ADDRESS: Final = 0x400000
_PAGE: Final = 0x10000
"""Largest page of these architectures: what both headers are aligned to."""

_ACTION: Final = struct.pack("<4Q", 1, 0, 0, 0)
"""The kernel's `struct sigaction`: SIG_IGN, without flags, restorer and mask."""

_AMD64: Final = bytes.fromhex(
    "b80d000000"  # mov   eax, 13             rt_sigaction
    "bf11000000"  # mov   edi, 17             SIGCHLD
    "488d3513000000"  # lea   rsi, [rip+19]       the action, behind the code
    "31d2"  # xor   edx, edx
    "41ba08000000"  # mov   r10d, 8             size of a set of signals
    "0f05"  # syscall
    "b822000000"  # mov   eax, 34             pause
    "0f05"  # syscall
    "ebf7"  # jmp   -9
)

_ARM64: Final = struct.pack(
    "<14I",
    0xD28010C8,  # mov   x8, #134            rt_sigaction
    0xD2800220,  # mov   x0, #17             SIGCHLD
    0x10000181,  # adr   x1, +48             the action, behind the code
    0xD2800002,  # mov   x2, #0
    0xD2800103,  # mov   x3, #8              size of a set of signals
    0xD4000001,  # svc   #0
    0xD2800000,  # mov   x0, #0
    0xD2800001,  # mov   x1, #0
    0xD2800002,  # mov   x2, #0
    0xD2800003,  # mov   x3, #0
    0xD2800928,  # mov   x8, #73             ppoll, of nothing and without end: there is no pause(2)
    0xD4000001,  # svc   #0
    0x17FFFFFA,  # b     -24
    0xD503201F,  # nop                       what follows is aligned to 8
)

_MACHINES: Final = {"amd64": (62, _AMD64), "arm64": (183, _ARM64)}
"""Number of the machine in the header, and the code, by Go's name of the architecture."""


def program(architecture: str) -> bytes | None:
    """The executable for an architecture in Go's words (`amd64`); None for one that it is not written for."""
    if architecture not in _MACHINES:
        return None
    machine, code = _MACHINES[architecture]
    headers = 64 + 2 * 56
    size = headers + len(code) + len(_ACTION)
    ident = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)  # 64 bits, the lowest byte first
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, _ADDRESS + headers, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, _ADDRESS, _ADDRESS, size, size, _PAGE)  # all of it, to be read and executed
    stack = struct.pack("<IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)  # whose stack is not executed
    return header + load + stack + code + _ACTION
