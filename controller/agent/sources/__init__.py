"""The one place through which an agent reads ConfigMaps and Secrets: those that instances of its node name, and no others."""
