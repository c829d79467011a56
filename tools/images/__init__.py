"""Test images, made on the spot from Debian's static busybox; nothing is downloaded.

`push(host, all_images())` puts them into a local registry, `write_layout(folder, all_images())` into an OCI layout. For other
images see `Image` and `make_layer`.
"""

from tools.images.catalog import all_images
from tools.images.image import Format, Image
from tools.images.layers import Blob, File, Folder, Layer, Link, make_layer
from tools.images.store import push, write_layout

__all__ = [
    "Blob",
    "File",
    "Folder",
    "Format",
    "Image",
    "Layer",
    "Link",
    "all_images",
    "make_layer",
    "push",
    "write_layout",
]
