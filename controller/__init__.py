"""Moorage: declarative containers on plain nodes, straight on the node's container runtime."""

__version__ = "0.1.0"
