"""The Container Network Interface: what a runtime does by its specification 1.1 (github.com/containernetworking/cni, SPEC.md).

`config.py`, `result.py` and `capabilities.py` are pure; `invoke.py` runs one plugin, `execution.py` chains of them for
an attachment, and `cache.py` keeps on disk what is attached.
"""
