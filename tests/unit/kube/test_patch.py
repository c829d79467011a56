"""Changes of objects as merge patches."""

from typing import Any

from controller.api.labels import FINALIZER
from controller.kube.patch import without_finalizer


def held(*finalizers: str) -> dict[str, Any]:
    """An instance with these finalizers."""
    return {"metadata": {"uid": "u", "resourceVersion": "7"} | ({"finalizers": list(finalizers)} if finalizers else {})}


def test_only_the_agents_finalizer_is_taken_off_and_only_from_what_was_seen() -> None:
    """Others' finalizers stay, and a version that somebody wrote meanwhile is left alone."""
    assert without_finalizer(held()) is None
    assert without_finalizer(held("other")) is None
    body: dict[str, Any] = {"metadata": {"uid": "u", "resourceVersion": "7", "finalizers": ["other"]}}
    assert without_finalizer(held("other", FINALIZER)) == body
    body["metadata"]["finalizers"] = None
    assert without_finalizer(held(FINALIZER)) == body
