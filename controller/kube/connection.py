"""Where the API server is and who we are there: one place for kubeconfig files, service accounts and TLS."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.request import getproxies_environment

import aiohttp
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import ConfigException, kube_config
from kubernetes.aio.config import incluster_config as incluster


class NoConnection(Exception):  # noqa: N818 - said to people as it is
    """No API server is configured; the message says what was looked for."""


class Connection:
    """Address, trust and credentials, shared by the client and by Kopf's thread."""

    def __init__(self, configuration: Configuration, loader: kube_config.KubeConfigLoader | None = None) -> None:
        self.configuration = configuration
        self._loader = loader
        self._tls: ssl.SSLContext = RESTClientObject(configuration).ssl_context

    @classmethod
    async def load(cls, kubeconfig: str | None = None) -> "Connection":
        """From a kubeconfig file when one is given, else from the pod's service account.

        Raises:
            NoConnection: when neither is there or the file cannot be used.
        """
        configuration = Configuration()
        configuration.connection_pool_maxsize = 16
        # Only where a proxy is set: aiohttp reads .netrc in a thread for each request then, a tenth of the CPU of a call.
        configuration.client_session_kwargs = {"trust_env": bool(getproxies_environment())}
        try:
            if kubeconfig:
                path = Path(kubeconfig).expanduser()
                if not path.is_file():
                    raise NoConnection(f"kubeconfig {path} does not exist")
                loader = await kube_config.load_kube_config(str(path), client_configuration=configuration)
                return cls(configuration, loader)
            incluster.load_incluster_config(configuration)
        except ConfigException as exc:
            where = f"kubeconfig {kubeconfig}" if kubeconfig else "no --kubeconfig given, and not in a pod"
            raise NoConnection(f"no way to an API server: {where}: {exc}") from exc
        return cls(configuration)

    @property
    def server(self) -> str:
        """Base URL of the API server."""
        return str(self.configuration.host)

    async def authorization(self) -> dict[str, str]:
        """The Authorization header of this moment; projected tokens are read anew as they rotate."""
        settings = await self.configuration.auth_settings()
        token = settings["BearerToken"]["value"] if "BearerToken" in settings else None
        return {"Authorization": token} if token else {}

    def session(self, most: int = 16) -> aiohttp.ClientSession:
        """A session for the calling loop, with so many connections at most (0: no limit).

        Every request carries the credentials of its moment. It is what Kopf is given, too.
        """

        async def authenticate(
            request: aiohttp.ClientRequest,
            handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
        ) -> aiohttp.ClientResponse:
            request.headers.update(await self.authorization())
            return await handler(request)

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=most), middlewares=(authenticate,), read_bufsize=2**21
        )

    async def keep_fresh(self) -> None:
        """Run for ever: renew the token of a kubeconfig that gets it from a command or an identity provider."""
        if self._loader is not None:
            await kube_config.refresh_token(self._loader, self.configuration)
        await asyncio.Event().wait()
