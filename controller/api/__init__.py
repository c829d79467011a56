"""The API as pydantic models: the one source of the custom resource definitions."""
