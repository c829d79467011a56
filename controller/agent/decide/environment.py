"""The environment of a container's process, by the rules of Kubernetes. Pure."""

import re
from collections.abc import Mapping
from typing import Final

_REFERENCE: Final = re.compile(r"\$(?:\$|\((?P<name>[^)]*)\))")


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by the variable's value; `$$` is a `$`, and a reference to nothing stays as it is.

    Source: k8s.io/kubernetes/third_party/forked/golang/expansion.
    """

    def replaced(match: re.Match[str]) -> str:
        name = match["name"]
        return "$" if name is None else env.get(name, match[0])

    return _REFERENCE.sub(replaced, text)
