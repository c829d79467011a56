"""The images that ContainerImages want on this node: fetched, kept and told.

`keeper.py` is the way in: it looks, pulls and tells, and knows what is pinned. Behind it: `wanted.py` (what is wanted, kept on
disk), `pushes.py` (what the node pushes for ContainerImages), `writer.py` (the status), `watch.py` (what the API server says).
"""
