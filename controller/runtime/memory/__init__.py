"""A runtime in memory, for simulations and pure tests: the same observable behaviour as a real one, without a process.

    node = MemoryNode([MemoryImage("registry.test/busybox:1")])
    runtime = MemoryRuntime(node)

`MemoryNode` is what stays when the agent's connection goes: images, containers, the registry, and the hooks that let a test
make trouble. Any number of `MemoryRuntime` may be connected to it. What a container does is read from its arguments: see
`script.py`.
"""

from controller.runtime.memory.node import MemoryImage, MemoryNode
from controller.runtime.memory.runtime import MemoryRuntime

__all__ = ["MemoryImage", "MemoryNode", "MemoryRuntime"]
