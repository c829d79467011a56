"""`python3 -m tools.images.product [--output FILE] [--no-cache]`: build Moorage's image as an archive in OCI layout."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.images.product.build import LAYERS, LOCK, Source, build
from tools.images.product.cache import Cache
from tools.images.product.wheels import runtime_pins
from tools.images.store import write_archive
from tools.progress import ToolError, step

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".image"


def main(arguments: list[str] | None = None) -> int:
    """Build the image; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.images.product", description="Build Moorage's image.")
    parser.add_argument("--output", type=Path, help="the archive to write (default: dist/moorage-VERSION.oci.tar)")
    parser.add_argument("--source", type=Path, default=ROOT, help="the checkout to build from (default: this one)")
    parser.add_argument("--no-cache", action="store_true", help="make every layer anew")
    parser.add_argument("--wheels", type=Path, default=CACHE / "wheels", help="where wheels are kept, each known by its hash")
    parser.add_argument("--requirements", action="store_true", help="only print the run-time requirements, with their hashes")
    options = parser.parse_args(arguments)
    source = Source(options.source)
    if options.requirements:
        print("\n".join(runtime_pins((source.folder / LOCK).read_text())))
        return 0
    try:
        image = build(source, Cache(options.wheels, None if options.no_cache else CACHE))
        output = options.output or source.folder / "dist" / f"moorage-{source.version}.oci.tar"
        with step(f"write {output}"):
            write_archive(output, [image])
    except (ToolError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, layer in zip(LAYERS, image.layers, strict=True):
        print(f"{name:13} {len(layer.blob.data) / 1e6:5.1f} MB  {layer.blob.digest}")
    print(f"{'together':13} {sum(len(layer.blob.data) for layer in image.layers) / 1e6:5.1f} MB")
    print(f"{image.name}:{image.tag}@{image.manifest.digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
