"""`moorage image`: the images of this node, straight from its runtime. `app.py` has the commands, one file each.

Behind them: `local.py` (what there is, joined with who uses it), `uses.py` and `rows.py` (pure), `find.py` (which one is
meant), `login.py` (what registries are shown) and `progress.py` (how far a transfer is).
"""
