"""Join the CustomResourceDefinitions of Flux and Argo CD, which lie in their pinned Go modules, into one file.

Called by `tools.build` as `python3 make.py TARGET`, in this folder. Nothing is compiled.
"""

import json
import subprocess
import sys
from pathlib import Path

DEFINITIONS = (
    ("github.com/argoproj/argo-cd/v3", "manifests/crds/application-crd.yaml"),
    ("github.com/argoproj/argo-cd/v3", "manifests/crds/appproject-crd.yaml"),
    ("github.com/fluxcd/helm-controller", "config/crd/bases/*.yaml"),
    ("github.com/fluxcd/kustomize-controller", "config/crd/bases/*.yaml"),
    ("github.com/fluxcd/source-controller", "config/crd/bases/*.yaml"),
)
"""Module, and where in it the definitions are."""


def downloads() -> dict[str, Path]:
    """The folders of the modules that go.mod pins, verified by go.sum."""
    done = subprocess.run(["go", "mod", "download", "-json"], stdout=subprocess.PIPE, text=True, check=True)
    decoder, found, text = json.JSONDecoder(), {}, done.stdout.strip()
    while text:
        module, end = decoder.raw_decode(text)
        found[module["Path"]] = Path(module["Dir"])
        text = text[end:].lstrip()
    return found


def main(target: Path) -> None:
    """Write them all into `target`."""
    folders = downloads()
    files = [path for module, pattern in DEFINITIONS for path in sorted(folders[module].glob(pattern))]
    target.write_text("---\n".join(path.read_text().rstrip("\n").removeprefix("---\n") + "\n" for path in files))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
