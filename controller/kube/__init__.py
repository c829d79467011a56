"""The way to the API server: Kopf as an informer, and the few calls made by ourselves."""

import importlib.util
import sys
import types


def _spare_the_synchronous_client() -> None:
    """Stand in for the `kubernetes` package itself, whose import loads its synchronous half with all that this needs.

    Nothing here uses more than `kubernetes.aio`. It spares each process 7 MB and a quarter of a second; whatever asks for
    another part of the package (as Kopf does, for its models) still gets it. This is the one thing in the project that is done
    at import time, since it has to come before any import of the package, ours or Kopf's.
    """
    spec = importlib.util.find_spec("kubernetes")
    if "kubernetes" in sys.modules or spec is None:
        return
    package = types.ModuleType("kubernetes")
    package.__path__ = list(spec.submodule_search_locations or ())
    package.__spec__ = spec
    sys.modules["kubernetes"] = package


_spare_the_synchronous_client()
