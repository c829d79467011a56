"""Moorage's own image, for both halves: `make image`, or `python3 -m tools.images.product`.

Made from Debian packages and Python wheels alone, so no registry is asked for a base image. Three layers, by how often they
change, so that a new version ships little:

| layer | what | module |
|---|---|---|
| base | what Python needs of Debian, by mmdebstrap | `base.py` |
| dependencies | the wheels of `requirements.lock` that Moorage runs on, by hash | `wheels.py` |
| moorage | its own wheel and the command | `build.py` |

The same commit, packages and wheels give the same digest: times, owners and order are fixed (`tools.images.layers`), what
depends on the machine is left out, and bytecode is made by the image's own Python and not checked at run time (PEP 552).
"""
