"""The way to the API server: Kopf as an informer, and the few calls made by ourselves."""
