"""Credentials for a pull or a push: containerd asks for them on a stream when a registry does, and they are nowhere else.

Source: containerd's core/transfer/registry. It asks once for each host that it turns to: the registry itself and its mirrors,
which are the node's configuration, are shown the same.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from google.protobuf.message import Message

from controller.runtime.containerd.api import transfer_types_pb2
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.image.streams import Stream, opened
from controller.runtime.port import Credential

_NOTHING: Final = Credential()


@asynccontextmanager
async def answering(channel: Channel, credential: Credential | None) -> AsyncIterator[str]:
    """Answer what containerd asks for as long as the block runs; gives the name of the stream on which it is to ask.

    Without credentials it is told that there are none, so that it says so of a registry that wants some.
    """
    async with opened(channel, "auth") as stream:
        answers = asyncio.create_task(_answer(stream, response(credential or _NOTHING)))
        try:
            yield stream.name
        finally:
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)


async def _answer(stream: Stream, answer: Message) -> None:
    """To each question the same."""
    while await stream.read():
        await stream.write(answer)


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
