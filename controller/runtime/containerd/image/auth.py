"""Credentials for a pull: containerd asks for them on a stream when a registry does, and they are nowhere else.

Source: containerd's core/transfer/registry. It asks once for each host that it turns to: the registry itself and its mirrors,
which are the node's configuration, are shown the same.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import grpc.aio
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from controller.runtime.containerd import methods
from controller.runtime.containerd.api import transfer_types_pb2
from controller.runtime.containerd.channel import Channel
from controller.runtime.port import Credential

_NOTHING: Final = Credential()


@asynccontextmanager
async def answering(channel: Channel, credential: Credential | None) -> AsyncIterator[str]:
    """Answer what containerd asks for as long as the block runs; gives the name of the stream on which it is to ask.

    Without credentials it is told that there are none, so that it says so of a registry that wants some.
    """
    stream = f"moorage-auth-{secrets.token_hex(8)}"
    call = channel.duplex(methods.STREAM)
    answers: asyncio.Task[None] | None = None
    try:
        await call.write(pack(methods.STREAM_INIT(id=stream)))
        await call.read()  # containerd confirms that the stream can be referred to
        answers = asyncio.create_task(_answer(call, response(credential or _NOTHING)))
        yield stream
    finally:
        call.cancel()
        if answers is not None:
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)


async def _answer(call: "grpc.aio.StreamStreamCall[Any, Any]", answer: Message) -> None:
    """To each question the same. That the stream broke is told by the transfer itself, which fails then too."""
    try:
        while isinstance(await call.read(), Any):
            await call.write(pack(answer))
    except grpc.aio.AioRpcError:
        return


def response(credential: Credential) -> transfer_types_pb2.AuthResponse:
    """Credentials as containerd takes them."""
    kinds = transfer_types_pb2.AuthType
    if credential.identity_token:
        return transfer_types_pb2.AuthResponse(authType=kinds.REFRESH, secret=credential.identity_token)
    if credential.username or credential.password:
        answer = transfer_types_pb2.AuthResponse(authType=kinds.CREDENTIALS)
        answer.username, answer.secret = credential.username, credential.password
        return answer
    return transfer_types_pb2.AuthResponse(authType=kinds.NONE)


def headers(credential: Credential | None) -> Mapping[str, str]:
    """What is sent with each request: a token of the registry, for which containerd does not ask on the stream."""
    if credential is None or not credential.registry_token:
        return {}
    return {"Authorization": f"Bearer {credential.registry_token}"}


def pack(message: Message) -> Any:
    """Pack a message: containerd takes the bare full name as type URL, without a host."""
    return Any(type_url=message.DESCRIPTOR.full_name, value=message.SerializeToString())
