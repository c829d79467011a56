"""Bringing up one container: what has to be there, or not to be, before it is made and started. Pure."""

from dataclasses import dataclass, replace

from controller.agent.decide import backoff
from controller.agent.decide.actions import CreateContainer, PullImage, StartContainer
from controller.agent.decide.hashing import made_from
from controller.agent.decide.observation import ImageView, Observation
from controller.agent.decide.plan.values import Case, Step, Verdict
from controller.agent.decide.resources import applied, as_held
from controller.agent.decide.restart import restarts
from controller.agent.decide.terminated import EXIT_NOT_STARTED
from controller.api.reasons import OUT_OF, Reason
from controller.api.spec import Container
from controller.runtime.port import ContainerState


def brought_up(create: CreateContainer, current: ContainerState | None, case: Case) -> Step:
    """Image first, then the container, unless it must not be, a try just failed, or something that it names is missing."""
    name, wanted = create.container.name, create.spec_hash
    waiting = (
        refused(current, case)
        or _unclassed(current, case)
        or failed(create.container, wanted, current, case)
        or _image(create, current, case)
        or _missing(name, current, case)
    )
    if waiting is not None:
        return waiting
    create = replace(create, runtime_handler=case.seen.runtime.handler)
    if case.seen.shortage is not None and case.seen.shortage.held:
        create = replace(create, container=as_held(create.container, current))
    return Step(Verdict(Reason.CONTAINER_CREATING, "", current), (create, StartContainer(name, wanted)))


def _unclassed(current: ContainerState | None, case: Case) -> Step | None:
    """Why the node cannot run what the instance's RuntimeClass asks for; None when it can."""
    choice = case.seen.runtime
    if not choice.problem:
        return None
    reason = Reason.RUNTIME_CLASS_UNAVAILABLE if choice.terminal else Reason.CONTAINER_CREATING
    return Step(Verdict(reason, choice.problem, current, terminal=choice.terminal))


def refused(current: ContainerState | None, case: Case) -> Step | None:
    """What Pod Security, or the room on the node, has against starting anything of this instance; None when nothing."""
    if case.seen.pod_security is None:
        message = (
            "the labels of its namespace were never seen, so its Pod Security level is not known: waiting for the API server"
        )
        return Step(Verdict(Reason.POD_SECURITY, message, current))
    message = case.refusal
    if message:
        return Step(Verdict(Reason.POD_SECURITY, message, current, terminal=True))
    lacking = case.seen.shortage
    if lacking is None or lacking.held:
        return None
    return Step(Verdict(OUT_OF[lacking.resource.partition("-")[0]], lacking.message, current, terminal=lacking.ever))


def failed(container: Container, wanted: str, current: ContainerState | None, case: Case) -> Step | None:
    """What a failed try with this spec asks for: to wait, or to give up; None when it is time for the next one."""
    spec, now = case.spec, case.now
    trouble = case.seen.troubles.get(container.name)
    if trouble is None or (trouble.spec_hash, trouble.resources) != (wanted, applied(container)):
        return None
    if container.name in case.seen.inspecting:
        return Step(Verdict(trouble.reason, trouble.message, current))
    if trouble.started and not restarts(container, spec, EXIT_NOT_STARTED, failed=True):
        return Step(Verdict(trouble.reason, trouble.message, current, terminal=True, ended=True, start_failure=trouble.message))
    retry_at = trouble.at + backoff.delay(trouble.count, spec.backoff)
    if not trouble.terminal and now >= retry_at:
        return None
    verdict = Verdict(trouble.reason, trouble.message, current, terminal=trouble.terminal)
    return Step(verdict, (), None if trouble.terminal else retry_at)


def _image(create: CreateContainer, current: ContainerState | None, case: Case) -> Step | None:
    """What has to happen to the image before the container can be made; None when it is there.

    With imagePullPolicy Always the registry is asked for each new instance and each changed spec. A restart after a crash uses
    what is there, so that it needs no registry.
    """
    container, wanted = create.container, create.spec_hash
    same = current is not None and made_from(current, container, case.spec)
    policy = pull_policy(container.image_pull_policy, container.image)
    asked = ImageAsked(container.name, container.image, policy, wanted, settled=same)
    return fetched(asked, current, case.seen, case.now)


@dataclass(frozen=True, slots=True)
class ImageAsked:
    """An image that has to be on the node, and for whom."""

    asker: str
    """Name of the container, or of what else needs it; one of each."""
    image: str
    policy: str
    wanted: str
    """The asker as it is wanted: something else when it is changed."""
    settled: bool = False
    """The registry has been asked for this before, by policy Always."""
    field: str = "imagePullPolicy"


def fetched(asked: ImageAsked, current: ContainerState | None, seen: Observation, now: float) -> Step | None:
    """What has to happen to an image; None when it is there."""
    view = seen.images.get(asked.image, ImageView())
    ask = asked.policy == "Always" and seen.pulled.get(asked.asker) != asked.wanted and not asked.settled
    if view.pull is not None and view.pull.terminal:
        return Step(Verdict(view.pull.reason, view.pull.message, current, terminal=True))
    if view.present is not None and not ask:
        return None
    if seen.pull_secrets_pending:
        return Step(Verdict(Reason.CONTAINER_CREATING, seen.pull_secrets_pending, current))
    if asked.policy == "Never":
        lacking = f"is not usable, and {asked.field} is Never: {view.damage}" if view.damage else ""
        message = f"image {asked.image!r} {lacking or f'is not on the node, and {asked.field} is Never'}"
        return Step(Verdict(Reason.ERR_IMAGE_NEVER_PULL, message, current, terminal=True))
    joined = seen.pulling.get(asked.asker) == asked.wanted
    if view.pull is not None and (joined if view.pull.running else now < view.pull.retry_at):
        retry_at = None if view.pull.running else view.pull.retry_at
        return Step(Verdict(view.pull.reason, view.pull.message, current, pull=view.pull.progress), (), retry_at)
    fetch = PullImage(asked.asker, asked.image, asked.wanted, ask)
    progress = view.pull.progress if view.pull is not None else None  # of one that somebody else has begun
    return Step(Verdict(Reason.PULLING, f"pulling {asked.image}", current, pull=progress), (fetch,))


def _missing(name: str, current: ContainerState | None, case: Case) -> Step | None:
    """It waits for what it names and is not there; whoever serves that wakes the supervisor."""
    missing = case.seen.missing.get(name)
    if missing is None:
        return None
    reason = Reason.CONTAINER_CREATING if missing.pending else Reason.CREATE_CONTAINER_CONFIG_ERROR
    return Step(Verdict(reason, missing.message, current, missing=not missing.pending))


def pull_policy(written: str | None, image: str) -> str:
    """The policy in force: as written, else Always for the tag `latest` or none, else IfNotPresent (core/v1 `Container`)."""
    if written is not None:
        return written
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if not digest and tag in {"", "latest"} else "IfNotPresent"
