"""Credentials for registries: read, matched with images, and who may use an image that is on the node. Pure."""
