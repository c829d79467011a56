"""What a container may do: its security context over the instance's, and over both what holds when neither says anything. Pure.

Source: core/v1 `SecurityContext` and kubernetes.io, "Configure a Security Context for a Pod or Container". One default is not
Kubernetes': no new privileges are to be had unless `allowPrivilegeEscalation: true` or `privileged: true` says so.
"""

from typing import Any, Final, TypeVar

from controller.agent.decide.sysctls import sysctls
from controller.api.security import PodSecurityContext, SeccompProfile
from controller.api.spec import Container, InstanceSpec
from controller.runtime.port import Seccomp, Security

PLAIN: Final = Security()
"""What a container may do that asks for nothing."""

_BUILT_IN: Final = SeccompProfile(type="RuntimeDefault")

T = TypeVar("T")


def security(container: Container, spec: InstanceSpec, profile: str = "") -> Security:
    """What the runtime is told. `profile` is the content of the file that `localhost_profile` names."""
    own, common = container.security_context, spec.security_context
    if not own.model_fields_set and not common.model_fields_set:
        return PLAIN
    privileged = own.privileged is True
    return Security(
        no_new_privileges=not (privileged or own.allow_privilege_escalation),
        privileged=privileged,
        add_capabilities=tuple(sorted(set(own.capabilities.add))),
        drop_capabilities=tuple(sorted(set(own.capabilities.drop))),
        read_only_root=own.read_only_root_filesystem is True,
        unmasked_proc=own.proc_mount == "Unmasked",
        seccomp=Seccomp(_filter(container, spec).type),
        seccomp_profile=profile,
        run_as_user=_first(own.run_as_user, common.run_as_user),
        run_as_group=_first(own.run_as_group, common.run_as_group),
        run_as_non_root=_first(own.run_as_non_root, common.run_as_non_root) is True,
        supplemental_groups=tuple(sorted({*common.supplemental_groups, *_owners(common)})),
        sysctls=sysctls(spec),
    )


def localhost_profile(container: Container, spec: InstanceSpec) -> str:
    """Path of the filter's file below the node's folder of profiles; empty when the filter is none of a file."""
    if container.security_context.privileged:
        return ""
    return _filter(container, spec).localhost_profile or ""


def matters(container: Container, spec: InstanceSpec) -> dict[str, Any]:
    """What of it counts for the spec hash: what is not as in a container that asks for nothing, by name."""
    found = security(container, spec)
    if found is PLAIN:
        return {}
    changed = {name: value for name in Security.__slots__ if (value := getattr(found, name)) != getattr(PLAIN, name)}
    profile = localhost_profile(container, spec)
    return changed | ({"seccomp_profile": profile} if profile else {})


def _owners(common: PodSecurityContext) -> tuple[int, ...]:
    """The group that volumes belong to."""
    return () if common.fs_group is None else (common.fs_group,)


def _filter(container: Container, spec: InstanceSpec) -> SeccompProfile:
    return container.security_context.seccomp_profile or spec.security_context.seccomp_profile or _BUILT_IN


def _first(own: T | None, common: T | None) -> T | None:
    return common if own is None else own
