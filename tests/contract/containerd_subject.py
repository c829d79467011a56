"""containerd under test: a containerd namespace of its own for each test, which must be empty in the end."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import secrets
import shutil
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Self

from google.protobuf.empty_pb2 import Empty

from controller.runtime.containerd import methods
from controller.runtime.containerd.api import images_pb2, leases_pb2, namespaces_pb2, snapshots_pb2
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.handlers import Handler, table
from controller.runtime.containerd.image.rootfs import layer_folders
from controller.runtime.containerd.methods import Streamed, Unary
from controller.runtime.containerd.runtime import ContainerdRuntime
from controller.runtime.port import ContainerConfig, DamageKind, Runtime
from tests.contract.subject import SECONDS, Subject
from tests.handlers import logging_runc
from tools.lab import Containerd, Registry

CGROUPS = Path("/sys/fs/cgroup")

_LIST_SNAPSHOTS = Streamed(
    "/containerd.services.snapshots.v1.Snapshots/List",
    snapshots_pb2.ListSnapshotsRequest,
    snapshots_pb2.ListSnapshotsResponse,
    10.0,
)
_DELETE_NAMESPACE = Unary(
    "/containerd.services.namespaces.v1.Namespaces/Delete",
    namespaces_pb2.DeleteNamespaceRequest,
    Empty,
    10.0,
)
_numbers = itertools.count(1)


class ContainerdSubject(Subject):
    """A namespace of a real containerd."""

    runtime: ContainerdRuntime

    def __init__(self, containerd: Containerd, registry: Registry, folder: Path) -> None:
        super().__init__(folder)
        self.containerd = containerd
        self.registry = registry
        self.namespace = f"contract-{next(_numbers)}-{secrets.token_hex(3)}"
        self.cgroup = f"/moorage-contract/{self.namespace}"
        self.run_dir = folder / "run"
        self._connections: list[Runtime] = []
        self._server: asyncio.Server | None = None
        self._refusals: set[asyncio.Task[None]] = set()
        self.other_log = folder / "other.log"
        """Each call of the OCI runtime that the handler `other` stands for, a line of arguments each."""
        self.other_binary = logging_runc(folder / "other-runc", self.other_log)

    async def __aenter__(self) -> Self:
        self.channel = Channel(self.containerd.address, self.namespace)
        self.runtime = await self.connect()
        self._server = await asyncio.start_server(self._refuse, "127.0.0.1", 0)
        _push_foreign(self.registry.host)
        await self.runtime.info()
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            await self._empty()
        finally:
            for connection in self._connections:
                await connection.close()
            await self.channel.close()
            if self._server:
                self._server.close()
            for refusal in self._refusals:
                refusal.cancel()
            await asyncio.gather(*self._refusals, return_exceptions=True)
            await asyncio.sleep(0)  # a connection is closed in the loop's next turn

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer any request as a private registry does."""
        task = asyncio.current_task()
        assert task is not None
        self._refusals.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")  # which one that wants to speak TLS never sends
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # it hung up
        finally:
            writer.close()
            self._refusals.discard(task)

    async def _empty(self) -> None:
        runtime = await self.connect()
        for state in await runtime.list():
            await runtime.remove(state.id)
        left = await self.leftovers()
        for image in (await self.channel.call(methods.LIST_IMAGES, images_pb2.ListImagesRequest())).images:
            await self.channel.call(methods.DELETE_IMAGE, images_pb2.DeleteImageRequest(name=image.name, sync=True))
        await self.collect_garbage()
        left += await self.snapshots()
        for cgroup in self.cgroups():
            cgroup.rmdir()
            with suppress(OSError):  # another test's may be in it
                cgroup.parent.rmdir()
        await self.channel.call(_DELETE_NAMESPACE, namespaces_pb2.DeleteNamespaceRequest(name=self.namespace))
        assert not left, f"left behind: {left}"

    async def connect(self) -> ContainerdRuntime:
        runtime = ContainerdRuntime(
            self.containerd.address,
            namespace=self.namespace,
            run_dir=str(self.run_dir),
            pull_silence=5.0,
            programs_dir=str(self.folder / "programs"),
            handlers=table([Handler(self.OTHER, options=(("BinaryName", str(self.other_binary)),))]),
        )
        self._connections.append(runtime)
        return runtime

    def config(self, *args: str, **changes: object) -> ContainerConfig:
        return super().config(*args, **{"cgroup_parent": self.cgroup} | changes)

    def ref(self, name: str) -> str:
        return f"{self.registry.host}/{name}"

    @property
    def unreachable(self) -> str:
        return "127.0.0.1:1/x:1"

    @property
    def forbidden(self) -> str:
        assert self._server
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}/x:1"

    def blob(self, digest: str) -> Path:
        """The file of a blob."""
        return self.containerd.state / "root/io.containerd.content.v1.content/blobs" / digest.replace(":", "/")

    async def layers(self, name: str) -> list[str]:
        """Digests of an image's layers, the lowest first."""
        return list((await self.runtime._images.get(self.ref(name))).contents.layers)

    async def folders(self, name: str) -> list[Path]:
        """What they are unpacked to."""
        chain = (await self.runtime._images.get(self.ref(name))).contents.chain_id
        async with self.runtime._snapshots.view(chain) as mounts:
            return [Path(folder) for folder in layer_folders(mounts)[::-1]]

    async def damage(self, name: str, what: DamageKind) -> None:
        if what is DamageKind.BLOB:
            cut_short(self.blob((await self.layers(name))[0]))
        elif what is DamageKind.SNAPSHOT:
            shutil.rmtree((await self.folders(name))[0])
        else:
            empty = (await self.folders(name))[0] / "bin/empty"
            empty.touch(0o755)
            empty.rename(empty.with_name("busybox"))  # under what runs it the file stays as it is

    def log(self, container_id: str) -> str:
        """What a container wrote."""
        return (self.folder / "logs" / f"{container_id}.log").read_text()

    async def wait_for_output(self, container_id: str, text: str) -> None:
        """The log has no event: it is looked at again and again until the text is there."""
        async with asyncio.timeout(SECONDS):
            while text not in self.log(container_id):
                await asyncio.sleep(0.01)

    async def collect_garbage(self) -> None:
        """Let containerd collect its garbage, to the end: that is what the synchronous deletion of a lease does."""
        lease = secrets.token_hex(8)
        await self.channel.call(methods.CREATE_LEASE, leases_pb2.CreateRequest(id=lease))
        await self.channel.call(methods.DELETE_LEASE, leases_pb2.DeleteRequest(id=lease, sync=True))

    async def snapshots(self) -> list[str]:
        """Names of all snapshots."""
        request = snapshots_pb2.ListSnapshotsRequest(snapshotter="overlayfs")
        return [info.name async for part in self.channel.stream(_LIST_SNAPSHOTS, request) for info in part.info]

    async def leftovers(self) -> list[str]:
        """All that should not be there when no container is, in words. Layers of images may be."""
        left = [f"container {state.id}" for state in await self.runtime.list()]
        left += [f"task {id_}" for id_ in await self.runtime._tasks.list()]
        left += [f"snapshot {name}" for name in await self.snapshots() if not name.startswith("sha256:")]
        leases = (await self.channel.call(methods.LIST_LEASES, leases_pb2.ListRequest())).leases
        left += [f"lease {lease.id}" for lease in leases]
        left += [f"shim {pid}" for pid in self.shims() if not await _ends(pid)]
        left += [f"cgroup {path}" for path in self.cgroups() if path.name != self.namespace]
        left += [f"mount {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines() if self.namespace in line]
        left += [f"pipe {path}" for path in self.run_dir.glob("*")]
        return left

    def shims(self) -> list[int]:
        """Process ids of this namespace's shims."""
        return [pid for pid in _processes() if {b"-namespace", self.namespace.encode()} <= set(_arguments(pid))]

    def cgroups(self) -> list[Path]:
        """This namespace's cgroups, the deepest first."""
        found = list(CGROUPS.glob(f"*/{self.cgroup.lstrip('/')}"))
        found += CGROUPS.glob(self.cgroup.lstrip("/"))
        below = [path for top in found for path in top.glob("*") if path.is_dir()]
        return below + found


@asynccontextmanager
async def runtime(
    real: ContainerdSubject, silence: float = 5.0, hosts_dir: str = "/nowhere"
) -> AsyncIterator[ContainerdRuntime]:
    """A further connection with settings of its own, as a restarted agent has it."""
    made = ContainerdRuntime(
        real.containerd.address, namespace=real.namespace, pull_silence=silence, hosts_dir=hosts_dir, run_dir=str(real.run_dir)
    )
    try:
        yield made
    finally:
        await made.close()


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _arguments(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


async def _ends(pid: int) -> bool:
    """Wait for the end of a process: a shim ends by itself, soon after its last container."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(SECONDS):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
    return True


def cut_short(file: Path) -> None:
    """Leave half of a file."""
    file.chmod(0o755)
    os.truncate(file, file.stat().st_size // 2)


def _push_foreign(host: str) -> None:
    """Put an image into the registry that is for another platform alone: an index that names busybox as such."""
    accepted = "application/vnd.oci.image.manifest.v1+json"
    request = urllib.request.Request(f"http://{host}/v2/busybox/manifests/1", headers={"Accept": accepted})
    with urllib.request.urlopen(request, timeout=10) as answer:
        digest, data = answer.headers["Docker-Content-Digest"], answer.read()
    entry = {
        "mediaType": accepted,
        "digest": digest,
        "size": len(data),
        "platform": {"os": "linux", "architecture": "mips64le"},
    }
    kind = "application/vnd.oci.image.index.v1+json"
    index = {"schemaVersion": 2, "mediaType": kind, "manifests": [entry]}
    put = urllib.request.Request(
        f"http://{host}/v2/busybox/manifests/foreign",
        data=json.dumps(index).encode(),
        headers={"Content-Type": kind},
        method="PUT",
    )
    with urllib.request.urlopen(put, timeout=10):
        pass
