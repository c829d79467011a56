"""Generate the protobuf modules beside this file: `python -m controller.runtime.containerd.api.generate [--check]`.

With `--check` nothing is written; the exit code is 1 when a module is missing, out of date or has no `.proto` any more.
Needs the development tools (grpcio-tools), whose version is pinned in the lock file, so that the output is the same everywhere.
"""

import argparse
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]


def generate(target: Path) -> dict[Path, bytes]:
    """Compile every `.proto` into `target`; returns what was made, by path relative to the repository's root.

    Raises:
        RuntimeError: when the compiler refuses a file; it has told why on stderr.
    """
    import grpc_tools
    from grpc_tools import protoc  # a development tool: not there in an installation

    well_known = Path(grpc_tools.__file__).parent / "_proto"
    sources = sorted(str(path.relative_to(ROOT)) for path in HERE.glob("*.proto"))
    flags = [f"--proto_path={ROOT}", f"--proto_path={well_known}", f"--python_out={target}", f"--pyi_out={target}"]
    if protoc.main(["protoc", *flags, *sources]) != 0:
        raise RuntimeError("protoc failed")
    return {path.relative_to(target): path.read_bytes() for path in sorted(target.rglob("*_pb2.py*"))}


def main() -> int:
    """Write the modules, or compare them; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail when something would change")
    check: bool = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        made = generate(Path(folder))
    stale = {path.relative_to(ROOT) for path in HERE.glob("*_pb2*") if path.suffix in {".py", ".pyi"}} - made.keys()
    changed = [path for path, data in made.items() if not (ROOT / path).exists() or (ROOT / path).read_bytes() != data]
    if check:
        for path in [*changed, *sorted(stale)]:
            print(f"{path} is out of date: run `make generate`", file=sys.stderr)
        return 1 if changed or stale else 0
    for path in changed:
        (ROOT / path).write_bytes(made[path])
    for path in stale:
        (ROOT / path).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
