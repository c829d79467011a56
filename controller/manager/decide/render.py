"""Names and bodies of the instances that a workload asks for. Pure."""

import hashlib
import json
from collections.abc import Container
from typing import Any, Final

from controller.api.base import API_VERSION
from controller.api.instance import ContainerInstance
from controller.api.labels import FINALIZER, NODE, ORDINAL, TEMPLATE_HASH, TEMPLATE_KEYS, WORKLOAD
from controller.api.spec import InstanceSpec
from controller.manager.decide.values import WORKLOAD_KIND, Instance, Workload, compact, digest

NAME_LIMIT: Final = 63
"""Names of instances are kept within a DNS label's length, so that they can serve as host names and label values."""


def name(workload: Workload, node: str, ordinal: int | None, taken: Container[str] = frozenset()) -> str:
    """The name of an instance: always the same for the same workload, ordinal and node.

    `<workload>-<node>` for Global (ordinal None), or with a hash behind it when that is too long or `taken` by an object of
    somebody else (workload `a-b` on node `c` and workload `a` on node `b-c` would meet); `<workload>-<hash>` for Replicated.
    """
    hashed = _short(workload.key.name, f"{workload.uid}/{ordinal if ordinal is not None else ''}/{node}")
    if ordinal is not None:
        return hashed
    plain = f"{workload.key.name}-{node}"
    return plain if len(plain) <= NAME_LIMIT and plain not in taken else hashed


def ordinal_of(workload: Workload, instance: Instance, limit: int) -> int | None:
    """The ordinal of an instance below `limit`, by its label or, when somebody changed that, by its name."""
    guesses = ([instance.ordinal] if instance.ordinal is not None else []) + list(range(limit))
    return next((n for n in guesses if name(workload, instance.node, n) == instance.key.name), None)


def labels(workload: Workload, node: str, ordinal: int | None) -> dict[str, str]:
    """All labels that an instance must carry."""
    template = workload.spec.template
    own = {WORKLOAD: workload.key.name, NODE: node, TEMPLATE_HASH: template_hash(workload)}
    return dict(template.metadata.labels) | own | ({ORDINAL: str(ordinal)} if ordinal is not None else {})


def annotations(workload: Workload) -> dict[str, str]:
    """All annotations that an instance must carry."""
    metadata = workload.spec.template.metadata
    if not metadata.labels and not metadata.annotations:
        return {}
    keys = {"labels": sorted(metadata.labels), "annotations": sorted(metadata.annotations)}
    return dict(metadata.annotations) | {TEMPLATE_KEYS: json.dumps(keys)}


def template_hash(workload: Workload) -> str:
    """16 hex digits over the template, for people to tell instances apart."""
    metadata = workload.spec.template.metadata
    return digest([workload.spec_hash, dict(metadata.labels), dict(metadata.annotations)])


def selector(workload: Workload) -> str:
    """The label selector of a workload's instances."""
    return f"{WORKLOAD}={workload.key.name}"


def create_body(workload: Workload, node: str, ordinal: int | None, instance_name: str) -> dict[str, Any]:
    """The object to create. The agent's finalizer is in place, so that no extra write adds it."""
    metadata: dict[str, Any] = {
        "name": instance_name,
        "namespace": workload.key.namespace,
        "labels": labels(workload, node, ordinal),
        "finalizers": [FINALIZER],
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": WORKLOAD_KIND,
                "name": workload.key.name,
                "uid": workload.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    if notes := annotations(workload):
        metadata["annotations"] = notes
    spec = {"nodeName": node} | compact(workload.spec.template.spec)
    if workload.spec.suspend:
        spec["suspend"] = True
    return {"apiVersion": API_VERSION, "kind": ContainerInstance.KIND, "metadata": metadata, "spec": spec}


def spec_patch(spec: InstanceSpec) -> dict[str, Any]:
    """A merge patch that makes an instance's spec exactly this one: what is not set is removed."""
    whole = spec.model_dump(mode="json", by_alias=True)
    kept = spec.to_json()
    return {key: kept.get(key) for key in whole}


def metadata_patch(workload: Workload, instance: Instance, ordinal: int | None, *, template: bool) -> dict[str, Any]:
    """A merge patch that brings labels and annotations up to date; empty when they are.

    What somebody else put there is left alone. Without `template`, only Moorage's own labels are repaired.
    """
    want, notes = labels(workload, instance.node, ordinal), annotations(workload)
    if not template:
        own = {WORKLOAD, NODE, ORDINAL}
        want, notes = {key: value for key, value in want.items() if key in own}, {}
    patch: dict[str, Any] = {}
    old_labels, old_notes = _template_keys(instance) if template else ([], [])
    for field, have, wanted, old in (
        ("labels", instance.labels, want, old_labels),
        ("annotations", instance.annotations, notes, old_notes),
    ):
        delta: dict[str, str | None] = {key: value for key, value in wanted.items() if have.get(key) != value}
        delta |= {key: None for key in old if key not in wanted and key in have}
        if delta:
            patch[field] = delta
    return patch


def _template_keys(instance: Instance) -> tuple[list[str], list[str]]:
    """Keys of labels and annotations that came from an earlier template."""
    text = instance.annotations.get(TEMPLATE_KEYS)
    if not text:
        return [], []
    try:
        keys = json.loads(text)
        return [str(key) for key in keys["labels"]], [*(str(key) for key in keys["annotations"]), TEMPLATE_KEYS]
    except (ValueError, TypeError, KeyError):
        return [], [TEMPLATE_KEYS]


def _short(prefix: str, secret: str) -> str:
    tail = hashlib.sha256(secret.encode()).hexdigest()[:10]
    return f"{prefix[: NAME_LIMIT - 1 - len(tail)].rstrip('-.')}-{tail}"
