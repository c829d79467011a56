"""Images on this node as its supervisors see them: what is there, what is being pulled, and why a pull failed.

`images.py` is the way in, and with `waiter.py` the only part that others import. Behind it: `presence.py` (what is on the
node), `pulls.py` (one pull for many waiters, so many at a time), `backoff.py` (pure: what a failure is called, and when to try
again).
"""
