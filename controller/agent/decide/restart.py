"""Whether a container that ended is started again. Pure.

Source: kubernetes.io, "Pod Lifecycle" (container restarts), KEP-5307 for what a container says itself.
"""

from controller.agent.decide.order import Role, role
from controller.agent.decide.terminated import EXIT_UNKNOWN
from controller.api.restart import RestartPolicy
from controller.api.spec import Container, InstanceSpec


def policy(container: Container, spec: InstanceSpec) -> RestartPolicy:
    """The policy in force: its own, else the instance's; what Always means for an init container is until it succeeds."""
    found = container.restart_policy or spec.restart_policy
    return "OnFailure" if found == "Always" and role(container, spec) is Role.INIT else found


def restarts(container: Container, spec: InstanceSpec, exit_code: int | None, *, failed: bool = False) -> bool:
    """Whether it is started again after such an end; None: its exit code is lost.

    `failed`: it was stopped because a probe or hook failed. Then it has failed, whatever its exit code is.
    """
    code = EXIT_UNKNOWN if exit_code is None else exit_code
    succeeded = code == 0 and not failed
    if succeeded and role(container, spec) is Role.INIT:
        return False
    if any(rule.exit_codes.holds(code) for rule in container.restart_policy_rules):
        return True
    found = policy(container, spec)
    return found == "Always" or (found == "OnFailure" and not succeeded)
