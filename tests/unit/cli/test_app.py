"""The command tree as a whole."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from controller import __version__
from controller.api.schema import crds
from controller.cli.app import app

COMMANDS = ("agent", "manager", "up", "ps", "logs", "exec", "image", "crds")
IMAGE_COMMANDS = ("ls", "inspect", "verify", "pull", "push", "import", "export", "tag", "rm", "prune")


def run(*arguments: str, **environment: str) -> Result:
    """Run `moorage`, with nothing of it set by the environment of the test."""
    clean = {"KUBECONFIG": None, "COLUMNS": "100", "MOORAGE_CONTAINERD": None} | environment
    return CliRunner().invoke(app, list(arguments), env=clean)


def test_help_lists_every_command() -> None:
    """`moorage --help` names what there is."""
    text = run("--help").stdout
    assert [command for command in COMMANDS if f" {command} " not in text] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_plain_where_it_is_no_terminal(command: str) -> None:
    """Every command explains itself, without colours in a pipe."""
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "\x1b[" not in result.stdout


@pytest.mark.parametrize("command", ["ps", "logs", "exec", "crds"])
def test_help_teaches_by_examples(command: str) -> None:
    """Each command for people shows how it is used."""
    assert f"moorage {command} " in run(command, "--help").stdout.partition("Examples")[2]


@pytest.mark.parametrize("command", IMAGE_COMMANDS)
def test_help_of_the_image_commands(command: str) -> None:
    """They are listed, and each teaches by examples, without colours in a pipe."""
    assert f" {command} " in run("image", "--help").stdout
    result = run("image", command, "--help")
    assert result.exit_code == 0
    assert f"moorage image {command} " in result.stdout.partition("Examples")[2]
    assert "\x1b[" not in result.stdout


def test_the_command_line_starts_quickly() -> None:
    """No command makes the others load what it alone needs."""
    heavy = "{'grpc', 'prometheus_client', 'kubernetes', 'aiohttp', 'kopf', 'rich.progress'}"
    check = f"import sys, controller.cli.app; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []


def test_version() -> None:
    """`--version` says it in one line."""
    assert run("--version").stdout == f"moorage {__version__}\n"


def test_no_command_is_a_usage_error() -> None:
    """Without a command the help is shown."""
    assert run().exit_code == 2


def test_crds_as_yaml_and_json_are_the_same() -> None:
    """Both forms carry every definition, and kubectl takes both."""
    documents = list(yaml.safe_load_all(run("crds").stdout))
    listed = json.loads(run("crds", "-o", "json").stdout)
    assert documents == listed["items"] == json.loads(json.dumps(crds()))
    assert (listed["kind"], listed["apiVersion"]) == ("List", "v1")


@pytest.mark.parametrize("half", ["agent", "manager", "up"])
def test_a_half_without_a_cluster_says_so_and_ends(half: str, tmp_path: Path) -> None:
    """A kubeconfig that is not there ends every half with one line and 1."""
    folders = () if half == "manager" else ("--state-dir", str(tmp_path / "s"), "--log-dir", str(tmp_path / "l"))
    result = run(half, "--kubeconfig", str(tmp_path / "nothing"), *folders)
    assert isinstance(result.exception, SystemExit), "shown with a traceback"
    assert result.exit_code == 1
    assert result.stderr == f"moorage: kubeconfig {tmp_path / 'nothing'} does not exist\n"


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--pod-security-enforce", "strict", "'strict' is not one of"),
        ("--pod-security-enforce-version", "1.30", "must be latest or v1.N"),
    ],
)
def test_a_level_that_does_not_exist_is_refused(option: str, value: str, told: str) -> None:
    """An agent never starts with a level other than the one that was meant."""
    result = run("agent", option, value)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--system-reserved", "cpu", "is not a quantity"),
        ("--system-reserved", "disk=1Gi", "say cpu=AMOUNT and memory=AMOUNT, each once"),
        ("--system-reserved", "cpu=1,cpu=2", "each once"),
        ("--system-reserved", "memory=much", "'much' is not a quantity"),
        ("--allowed-unsafe-sysctls", "vm.swappiness", "not known to be of a network or of IPC"),
        ("--allowed-unsafe-sysctls", "kernel.*", "not known to be of a network or of IPC"),
        ("--allowed-unsafe-sysctls", "net.*.x", "neither a kernel parameter nor the beginning of some"),
        ("--pids-limit", "-1", "or equal to 0"),
        ("--parallel-pulls", "0", "greater than or equal to 1"),
        ("--pull-stall-seconds", "1", "greater than or equal to 2"),
        ("--image-gc-high-percent", "101", "less than or equal to 100"),
        ("--image-gc-low-percent", "90", "is more than --image-gc-high-percent"),
        ("--disk-pressure-percent", "100", "less than or equal to 99"),
    ],
)
def test_what_a_node_cannot_give_or_allow_is_refused(option: str, value: str, told: str) -> None:
    """Before anything begins, in words that say what is to be written."""
    result = run("agent", option, value)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--image-credential-provider-config", "/none.yaml"), "one needs the other"),
        (("--image-credential-provider-bin-dir", "/bin"), "one needs the other"),
        (
            ("--image-credential-provider-config", "/none.yaml", "--image-credential-provider-bin-dir", "/bin"),
            "/none.yaml cannot be read: No such file",
        ),
        (("--preloaded-images-verification-allowlist", "quay.io/a"), "with NeverVerifyAllowlistedImages alone"),
        (
            (
                *("--image-pull-credentials-verification-policy", "NeverVerifyAllowlistedImages"),
                *("--preloaded-images-verification-allowlist", "quay.io/a:1"),
            ),
            "'quay.io/a:1' is neither a repository without tag",
        ),
        (("--image-pull-credentials-verification-policy", "Sometimes"), "'Sometimes' is not one of"),
    ],
)
def test_settings_of_credentials_that_cannot_be_meant_are_refused(arguments: tuple[str, ...], told: str) -> None:
    """An agent never starts with fewer credentials, or a weaker rule, than was meant."""
    result = run("agent", *arguments)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.replace("│", " ").split())


def test_a_taken_metrics_port_is_told() -> None:
    """A port that somebody else has ends the start with one line and 1."""
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        result = run("manager", "--metrics-port", str(taken.getsockname()[1]))
    assert isinstance(result.exception, SystemExit), "shown with a traceback"
    assert result.exit_code == 1
    assert "Address already in use" in result.stderr
