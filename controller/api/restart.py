"""Which ended containers are started again: names, defaults and meaning of core/v1 and KEP-5307. Pure.

Source: kubernetes.io, "Pod Lifecycle" (docs/concepts/workloads/pods/pod-lifecycle/), "Sidecar Containers", "Init Containers".
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from controller.api.base import LIST_SET, Model, rule

RestartPolicy = Literal["Always", "OnFailure", "Never"]

ExitCode = Annotated[int, Field(ge=0, le=255)]


class ContainerRestartRuleOnExitCodes(Model):
    """A question about an exit code (core/v1)."""

    operator: Literal["In", "NotIn"] = Field(description="In: the rule is for these exit codes. NotIn: for all others.")
    values: tuple[ExitCode, ...] = Field(default=(), max_length=255, description="Exit codes.", json_schema_extra=LIST_SET)

    def holds(self, exit_code: int) -> bool:
        """Whether the rule is for it."""
        return (exit_code in self.values) is (self.operator == "In")


class ContainerRestartRule(Model):
    """What is done when a container ends in a certain way (core/v1)."""

    action: Literal["Restart"] = Field(description="Restart: it is started again.")
    exit_codes: ContainerRestartRuleOnExitCodes = Field(description="The exit codes that the rule is for.")


RULES_NEED_A_POLICY: Final = rule(
    "!has(self.restartPolicyRules) || self.restartPolicyRules.size() == 0 || has(self.restartPolicy)",
    "restartPolicyRules are exceptions from the container's own restartPolicy: set that, too",
    path=".restartPolicyRules",
)

_IS_SIDECAR: Final = "(has(c.restartPolicy) && c.restartPolicy == 'Always')"


def _only_sidecars(field: str, absent: str) -> dict[str, str]:
    return rule(
        f"self.all(c, {_IS_SIDECAR} || {absent})",
        f"{field} is for sidecars: an init container has it only with restartPolicy: Always",
    )


INIT_RULES: Final = (
    *(_only_sidecars(probe, f"!has(c.{probe})") for probe in ("startupProbe", "readinessProbe", "livenessProbe")),
    _only_sidecars(
        "lifecycle",
        "!has(c.lifecycle) || !(has(c.lifecycle.postStart) || has(c.lifecycle.preStop) || has(c.lifecycle.stopSignal))",
    ),
    _only_sidecars(
        "resizePolicy RestartContainer",
        "!has(c.resizePolicy) || c.resizePolicy.all(p, p.restartPolicy == 'NotRequired')",
    ),
    _only_sidecars("suspend", "!has(c.suspend) || !c.suspend"),
    _only_sidecars("hostPort", "!has(c.ports) || c.ports.all(p, !has(p.hostPort) || p.hostPort == 0)"),
    rule(
        f"self.all(c, !{_IS_SIDECAR} || !has(c.restartPolicyRules) || c.restartPolicyRules.size() == 0)",
        "a sidecar (restartPolicy: Always) is always started again: remove its restartPolicyRules",
    ),
)
"""What core/v1 allows of init containers."""

NAMES_ARE_UNIQUE: Final = rule(
    "!has(self.initContainers) || self.initContainers.all(i, self.containers.all(c, c.name != i.name))",
    "an init container and a container have the same name: names are unique in the instance",
    path=".initContainers",
)
