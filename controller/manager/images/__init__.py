"""ContainerImages in the cluster half: what each node is asked for, and what the nodes say.

`room.py` is the way in. One key is an image (`images.py`: whose turn it is, its status), another a node (`nodes.py`: its
NodeImages). Turns that were given and are not written yet are in `cache.py`, so that nobody gives more than there are.
"""
