"""The node runtime API and the runtimes behind it."""
