"""Names that connections are asked for to."""

import errno

import pytest

from controller.network.dial import Dialer


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "\udcff", "a\0b"])
async def test_a_name_that_none_can_have_is_a_failed_connection(host: str) -> None:
    """Whoever writes such a host into a probe learns that it fails, as with a name that nobody knows."""
    dialer = Dialer()
    try:
        with pytest.raises(OSError, match="is no host name") as failed:
            await dialer.connect(host, 80)
    finally:
        dialer.close()
    assert failed.value.errno == errno.EINVAL
