"""Images on this node as its supervisors see them: what is there, what is being pulled, and why a pull failed.

`images.py` is the way in, with `waiter.py` for those who wait. Behind it: `presence.py` (what is on the node), `pulls.py` (one
pull for many waiters, so many at a time), `archives.py` (files in place of registries), `backoff.py` (pure: what a failure is
called, and when to try again).

Beside it `collector.py` keeps room on the disk, and `uses.py` knows what was used when.
"""
