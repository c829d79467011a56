"""The plan for an instance with a network of its own: there before the first container, gone after the last."""

import pytest

from controller.agent.decide.actions import CreateNetwork
from controller.agent.decide.network import request
from controller.agent.decide.observation import Desired, NetworkTrouble, Observation
from controller.agent.decide.plan import plan
from controller.agent.decide.status import instance_status
from controller.api.hostports import HostPort
from controller.network.port import NetworkRequest, NetworkState
from controller.runtime.port import Phase
from tests.unit.agent.values import HERE, NODE, NOW, container, deleted, desired, kinds, seen, state

ABSENT, BROKEN, READY = NetworkState.ABSENT, NetworkState.BROKEN, NetworkState.READY
CREATED, RUNNING, EXITED = Phase.CREATED, Phase.RUNNING, Phase.EXITED
OWN = desired(hostNetwork=False, network="None")
TWO = desired(container(), container("side"), hostNetwork=False, network="None")
HOST = desired()
GONE = deleted(hostNetwork=False, network="None")
SUSPENDED = desired(hostNetwork=False, network="None", suspend=True)
ONCE = desired(hostNetwork=False, network="None", restartPolicy="Never")
PAIR = desired(container(), container("side"), hostNetwork=False, network="None", restartPolicy="Never")
FIRST = desired(initContainers=[container("first")], hostNetwork=False, network="None", restartPolicy="Never")
OLD = "older"


def failed(count: int = 1, *, removing: bool = False) -> NetworkTrouble:
    """A failed try just now."""
    return NetworkTrouble("no more memory", NOW, count, removing=removing)


def planned(wanted: Desired, observation: Observation, now: float = NOW) -> tuple[str, float | None, str]:
    """Actions in short, seconds until the next look, and the first container's reason."""
    result = plan(wanted, observation, now)
    reason = next((v.reason.value for v in result.verdicts.values()), "")
    return kinds(result.actions), None if result.wake_at is None else round(result.wake_at - now, 3), reason


@pytest.mark.parametrize(
    ("sentence", "wanted", "observation", "then"),
    [
        ("nothing is there", OWN, seen(), ("CreateNetwork, Create main/0, Start main", None, "ContainerCreating")),
        ("it is there", OWN, seen(network=READY), ("Create main/0, Start main", None, "ContainerCreating")),
        (
            "one for all",
            TWO,
            seen(),
            ("CreateNetwork, Create main/0, Start main, Create side/0, Start side", None, "ContainerCreating"),
        ),
        (
            "the node was restarted",
            OWN,
            seen(state(OWN, EXITED), network=BROKEN),
            ("CreateNetwork, Create main/1, Start main", None, "ContainerCreating"),
        ),
        (
            "made before the node was restarted",
            OWN,
            seen(state(OWN, CREATED), network=BROKEN),
            ("CreateNetwork, Start main-0", None, "ContainerCreating"),
        ),
        ("it runs, and the network is there", OWN, seen(state(OWN), network=READY), ("", None, "Running")),
        ("it runs, and the network is out of reach", OWN, seen(state(OWN)), ("CreateNetwork", None, "Running")),
        (
            "a restart keeps it",
            OWN,
            seen(state(OWN, EXITED), network=READY),
            ("Create main/1, Start main", None, "ContainerCreating"),
        ),
        ("it failed just now", OWN, seen(network_trouble=failed()), ("", 1, "NetworkSetupFailed")),
        ("it failed three times", OWN, seen(network_trouble=failed(3)), ("", 4, "NetworkSetupFailed")),
        ("it failed, and nothing needs it", OWN, seen(state(OWN), network_trouble=failed()), ("", 1, "Running")),
        (
            "what failed was its removal",
            OWN,
            seen(network_trouble=failed(removing=True)),
            ("CreateNetwork, Create main/0, Start main", None, "ContainerCreating"),
        ),
        (
            "an old one on the node's network runs until there is one",
            OWN,
            seen(state(OWN, spec_hash=OLD)),
            ("CreateNetwork", None, "Updating"),
        ),
        (
            "and on, when it fails",
            OWN,
            seen(state(OWN, spec_hash=OLD), network_trouble=failed()),
            ("", 1, "NetworkSetupFailed"),
        ),
        ("and is replaced then", OWN, seen(state(OWN, spec_hash=OLD), network=READY), ("Stop main-0", None, "Updating")),
        ("the node's network: none is made", HOST, seen(), ("Create main/0, Start main", None, "ContainerCreating")),
        (
            "the node's network, an old one still runs in its own",
            HOST,
            seen(state(HOST, spec_hash=OLD), network=READY),
            ("Stop main-0", None, "Updating"),
        ),
        (
            "the node's network, and nothing is in its own any more",
            HOST,
            seen(state(HOST), network=READY),
            ("RemoveNetwork", None, "Running"),
        ),
        (
            "the same, and it cannot be removed",
            HOST,
            seen(state(HOST), network=READY, network_trouble=failed(removing=True)),
            ("", 1, "Running"),
        ),
        (
            "it has ended for good",
            ONCE,
            seen(state(ONCE, EXITED, exit_code=0), network=READY),
            ("RemoveNetwork", None, "Completed"),
        ),
        ("with a failure", ONCE, seen(state(ONCE, EXITED, exit_code=1), network=READY), ("RemoveNetwork", None, "Error")),
        (
            "and the node was restarted",
            ONCE,
            seen(state(ONCE, EXITED, exit_code=0), network=BROKEN),
            ("RemoveNetwork", None, "Completed"),
        ),
        ("and it is gone", ONCE, seen(state(ONCE, EXITED, exit_code=0)), ("", None, "Completed")),
        (
            "ended, and its removal failed",
            ONCE,
            seen(state(ONCE, EXITED, exit_code=0), network=READY, network_trouble=failed(removing=True)),
            ("", 1, "Completed"),
        ),
        (
            "one of two has ended",
            PAIR,
            seen(state(PAIR, EXITED, exit_code=0), state(PAIR, name="side"), network=READY),
            ("", None, "Completed"),
        ),
        (
            "its init container has failed",
            FIRST,
            seen(state(FIRST, EXITED, exit_code=1, name="first"), network=READY),
            ("RemoveNetwork", None, "Error"),
        ),
        (
            "ended, and its spec has changed",
            ONCE,
            seen(state(ONCE, EXITED, exit_code=0, spec_hash=OLD)),
            ("CreateNetwork, Create main/1, Start main", None, "ContainerCreating"),
        ),
        ("deleted, a container runs", GONE, seen(state(OWN), network=READY), ("Stop main-0", None, "")),
        ("deleted, a container has ended", GONE, seen(state(OWN, EXITED), network=READY), ("Remove main-0", None, "")),
        ("deleted, the last container has gone", GONE, seen(network=READY), ("RemoveNetwork", None, "")),
        ("deleted, after the node was restarted", GONE, seen(network=BROKEN), ("RemoveNetwork", None, "")),
        ("deleted, and it cannot be removed", GONE, seen(network=READY, network_trouble=failed(removing=True)), ("", 1, "")),
        (
            "deleted after it could not be made",
            GONE,
            seen(network=BROKEN, network_trouble=failed(3)),
            ("RemoveNetwork", None, ""),
        ),
        ("suspended", SUSPENDED, seen(network=READY), ("RemoveNetwork", None, "")),
    ],
)
def test_the_network_of_an_instance(
    sentence: str, wanted: Desired, observation: Observation, then: tuple[str, float | None, str]
) -> None:
    """Nothing starts without it, nothing that runs is touched because of it, and it outlives every container."""
    assert planned(wanted, observation) == then, sentence


def test_a_clock_that_was_set_back_does_not_prolong_the_pause() -> None:
    """The pause is never longer than it was meant to be."""
    assert planned(OWN, seen(network_trouble=failed()), NOW - 3600)[1] == 1


def test_an_image_that_is_missing_is_pulled_while_the_network_fails() -> None:
    """One trouble does not wait for the other."""
    images = {image: type(view)() for image, view in HERE.items()}
    assert planned(OWN, seen(images=images, network_trouble=failed()))[0].startswith("Pull ")


@pytest.mark.parametrize("network", [READY, BROKEN])
def test_an_instance_is_not_gone_before_its_network_is(network: NetworkState) -> None:
    """The finalizer says that nothing of it is left on the node."""
    assert not plan(GONE, seen(network=network), NOW).torn_down
    assert plan(GONE, seen(network=ABSENT), NOW).torn_down


def test_a_network_out_of_reach_is_taken_from_what_runs_in_it() -> None:
    """Only from containers of the present spec: an older one may be in another network."""
    both = seen(state(TWO, pid=7), state(TWO, name="side", pid=8, spec_hash=OLD))
    assert plan(TWO, both, NOW).actions == (CreateNetwork((7,), NetworkRequest()),)


# --- attached


MAPPED = container(ports=[{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}])


@pytest.mark.parametrize(
    ("sentence", "wanted", "asked"),
    [
        ("the node's network", HOST, None),
        ("loopback only", OWN, NetworkRequest()),
        ("attached", desired(hostNetwork=False), NetworkRequest(attached=True)),
        (
            "with a port of the node",
            desired(MAPPED, hostNetwork=False),
            NetworkRequest(attached=True, ports=(HostPort(8080, 80),)),
        ),
        ("a port of the node on the node's network is its own", desired(MAPPED), None),
    ],
)
def test_what_is_asked_for(sentence: str, wanted: Desired, asked: NetworkRequest | None) -> None:
    """From the spec alone; ports without a hostPort are information."""
    assert request(wanted.instance) == asked, sentence


def test_limits_of_bandwidth_come_from_annotations_and_change_nothing_later() -> None:
    """As a pod's: they count when the network is made. A later change of the annotation does not take it apart."""
    notes = {"annotations": {"kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "1M"}}
    asked = request(desired(hostNetwork=False, meta=notes).instance)
    assert asked is not None
    assert (asked.ingress_bandwidth, asked.egress_bandwidth, asked.owner) == ("10M", "1M", "default/web")
    assert asked == request(desired(hostNetwork=False).instance)


def test_addresses_are_told_as_long_as_they_are_known() -> None:
    """In the status, the first one as `ip`; the node's on its own network; also while the runtime does not answer."""
    wanted = desired(hostNetwork=False)
    found = seen(state(wanted), network=READY, addresses=("10.0.0.5", "fd00::5"))
    told = instance_status(wanted, plan(wanted, found, NOW), NODE, NOW)
    assert (told.ip, told.ips) == ("10.0.0.5", ("10.0.0.5", "fd00::5"))
    told = instance_status(HOST, plan(HOST, seen(state(HOST)), NOW), NODE, NOW)
    assert (told.ip, told.ips) == (NODE.address, (NODE.address,))
    told = instance_status(OWN, plan(OWN, seen(state(OWN), network=READY), NOW), NODE, NOW)
    assert (told.ip, told.ips) == ("", ())
    away = seen(state(wanted), network=READY, addresses=("10.0.0.5",), runtime_error="away", runtime_down_since=NOW - 60)
    assert instance_status(wanted, plan(wanted, away, NOW), NODE, NOW).ip == "10.0.0.5"
