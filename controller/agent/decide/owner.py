"""Whom a file of a volume is to belong to that only the instance's own processes may read. Pure."""

from controller.api.spec import InstanceSpec


def sole_user(spec: InstanceSpec) -> int | None:
    """The user that all containers run as, init containers included; None where they differ, or one leaves it to its image.

    As a kubelet finds it (`FsUserFrom` in pkg/volume/util).
    """
    common = spec.security_context.run_as_user
    users = {common if (own := c.security_context.run_as_user) is None else own for c in spec.all_containers}
    return users.pop() if len(users) == 1 else None
