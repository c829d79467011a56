"""`python3 -m tools.images --registry HOST:PORT` or `--layout DIR`: make the test images."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.images import all_images, push, write_layout
from tools.progress import ToolError


def main() -> int:
    """Make the images; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.images", description="Make the test images.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--registry", metavar="HOST:PORT", help="push them to this registry, by plain HTTP")
    where.add_argument("--layout", metavar="DIR", type=Path, help="write them into this folder, in OCI layout")
    options = parser.parse_args()
    try:
        if options.layout:
            write_layout(options.layout, all_images())
        else:
            for reference, digest in push(options.registry, all_images()).items():
                print(reference, digest)
    except (ToolError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
