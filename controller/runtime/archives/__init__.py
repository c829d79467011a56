"""Archives of images: tar files as `docker save`, `ctr images export` and `skopeo copy` write and read them.

Two kinds are in use: the OCI archive (an image layout in a tar: OCI image-spec, image-layout.md), and the docker-archive (a
`manifest.json` that names files; Docker image spec v1.2). What Docker writes today is both.
"""

from controller.runtime.archives.names import Named, images_of
from controller.runtime.archives.reading import Archive, open_archive, read
from controller.runtime.archives.writing import ArchiveWriter, blob_name, docker_images, index_of

__all__ = ["Archive", "ArchiveWriter", "Named", "blob_name", "docker_images", "images_of", "index_of", "open_archive", "read"]
