"""How far a pull is, as statuses tell it."""

from pydantic import Field

from controller.api.base import Model


class PullStatus(Model):
    """An image that is being pulled, in bytes as its registry sends them."""

    image: str = Field(description="Its name, normalised.")
    bytes_done: int = Field(
        description="Bytes that are on the node, those of an earlier try included. When all are, it is being unpacked.",
        json_schema_extra={"format": "int64"},
    )
    bytes_total: int = Field(description="Bytes of all its parts.", json_schema_extra={"format": "int64"})
    percent: int = Field(description="Of the bytes, rounded down.")
    bytes_per_second: int = Field(
        description="Mean of the last ten seconds; 0 when nothing comes.", json_schema_extra={"format": "int64"}
    )
    eta_seconds: int | None = Field(
        default=None, description="Seconds until all bytes are there, at this pace; absent when nothing comes."
    )
