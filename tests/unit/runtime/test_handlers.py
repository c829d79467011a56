"""Runtime handlers as the agent is told of them, and as containerd is."""

import pytest

from controller.runtime.containerd.api import runc_options_pb2, shim_options_pb2
from controller.runtime.containerd.handlers import DEFAULT, RUNC, Handler, find, parse_handler, table
from controller.runtime.port import InvalidConfig

GOOD = {
    "other=io.containerd.runc.v2": Handler("other"),
    "crun=io.containerd.runc.v2,BinaryName=/usr/bin/crun": Handler("crun", RUNC, (("BinaryName", "/usr/bin/crun"),)),
    "kata=io.containerd.kata.v2": Handler("kata", "io.containerd.kata.v2"),
    "gvisor=io.containerd.runsc.v1,ConfigPath=/etc/containerd/runsc.toml": Handler(
        "gvisor", "io.containerd.runsc.v1", (("ConfigPath", "/etc/containerd/runsc.toml"),)
    ),
}

BAD = {
    "other": "begins with NAME=TYPE",
    "Other=io.containerd.runc.v2": "DNS label",
    "runc=io.containerd.runc.v2": "is the default handler",
    "other=runc": "no runtime of containerd",
    "other=/usr/bin/shim": "no runtime of containerd",
    "other=io.containerd.runc.v2,Binary=/x": "has no option 'Binary'",
    "other=io.containerd.runc.v2,SystemdCgroup=true": "has no option 'SystemdCgroup'",
    "other=io.containerd.runc.v2,ConfigPath=/x": "has no option 'ConfigPath'",
    "other=io.containerd.kata.v2,BinaryName=/x": "has no option 'BinaryName'",
    "other=io.containerd.runc.v2,BinaryName=": "needs a value",
    "other=io.containerd.runc.v2,NoPivotRoot=yes": "true or false",
    "other=io.containerd.runc.v2,Root=/a,Root=/b": "given twice",
}


@pytest.mark.parametrize("text", GOOD)
def test_a_handler_is_read(text: str) -> None:
    """Name, type and options, by the names that containerd's own configuration has for them."""
    assert parse_handler(text) == GOOD[text]


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_handler_is_refused(text: str) -> None:
    """In words that say what is wrong; an option that nothing would read is an error."""
    with pytest.raises(ValueError, match=BAD[text]) as caught:
        parse_handler(text)
    assert repr(text) in str(caught.value)


def test_options_of_runc() -> None:
    """Encoded as containerd's message for runc's shim."""
    runtime = parse_handler(f"x={RUNC},BinaryName=crun,Root=/run/crun,NoPivotRoot=true,NoNewKeyring=false").runtime()
    assert (runtime.name, runtime.options.type_url) == (RUNC, "containerd.runc.v1.Options")
    options = runc_options_pb2.Options.FromString(runtime.options.value)
    assert (options.binary_name, options.root, options.no_pivot_root, options.no_new_keyring) == (
        "crun",
        "/run/crun",
        True,
        False,
    )


def test_options_of_other_shims() -> None:
    """Encoded as the message that they share; without options there is none."""
    runtime = parse_handler("x=io.containerd.runsc.v1,ConfigPath=/etc/runsc.toml").runtime()
    assert (runtime.name, runtime.options.type_url) == ("io.containerd.runsc.v1", "runtimeoptions.v1.Options")
    assert shim_options_pb2.Options.FromString(runtime.options.value).config_path == "/etc/runsc.toml"
    assert not parse_handler("x=io.containerd.kata.v2").runtime().HasField("options")


def test_the_default_handler_is_always_there() -> None:
    """It is found without a name and by its own; others by theirs; an unknown one is an error that names those there are."""
    known = table([Handler("other")])
    assert list(known) == [DEFAULT, "other"]
    assert find(known, "") is find(known, DEFAULT) is known[DEFAULT]
    with pytest.raises(InvalidConfig, match=r"no runtime handler 'x' \(it has runc, other\)"):
        find(known, "x")


def test_two_of_one_name_are_refused() -> None:
    """Whoever repeats an option has meant something else."""
    with pytest.raises(ValueError, match="given twice"):
        table([Handler("other"), Handler("other")])
