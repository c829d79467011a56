"""Secrets with credentials for registries, as instances and images name them."""

from pydantic import Field

from controller.api.base import Model
from controller.api.names import SUBDOMAIN

MOST = 32
"""Secrets that may be named in one place."""


class LocalObjectReference(Model):
    """An object of the same namespace (core/v1 `LocalObjectReference`)."""

    name: str = Field(min_length=1, max_length=253, pattern=SUBDOMAIN, description="Name of the Secret.")
