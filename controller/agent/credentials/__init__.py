"""The node's own credentials for registries, and all that there are for an image.

`credentials.py` is the way in: what an instance's Secrets say, then the node's config file (`nodewide.py`), then credential
provider plugins (`plugins.py`). What is read and how it is matched is pure: `decide/credentials`.
"""
