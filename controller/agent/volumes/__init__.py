"""Volumes of this node's instances: made before the first container, removed after the last; among the runtime's files."""
