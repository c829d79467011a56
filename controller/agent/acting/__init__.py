"""Carrying out actions: the only place where a supervisor changes something on the node.

`actor.py` is the way in, and gives each action to those who carry it out, by what they need (`hands.py`):

- `starts.py`: CreateContainer, StartContainer
- `stops.py`: RunPreStop, StopContainer, KillContainer, MarkSuspended, RemoveContainer
- `resizes.py`: ResizeContainer
- `pulls.py`: PullImage
- `networks.py`: CreateNetwork, RemoveNetwork
- `volumes.py`: MakeVolumes, RemoveVolumes

Three outcomes: done, failed (noted as a trouble, so that the planner decides when to try again), or the runtime could not be
asked (`Unavailable`, raised, so that nothing is concluded from it). An answer that does not fit what was known refreshes the
view of that one container.
"""
