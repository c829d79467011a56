"""Probes and lifecycle handlers of containers: names, defaults and meaning of core/v1 `Probe` and `Lifecycle`."""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints, WithJsonSchema

from controller.api.base import LIST_ATOMIC, Model, exactly_one, rule, rules

HEADER_NAME: Final = r"^[-A-Za-z0-9]+$"
"""As `IsHTTPHeaderName` of apimachinery."""

STOP_SIGNAL: Final = (
    r"^SIG(ABRT|ALRM|BUS|CHLD|CLD|CONT|FPE|HUP|ILL|INT|IO|IOT|KILL|PIPE|POLL|PROF|PWR|QUIT|SEGV|STKFLT|STOP|SYS|TERM|TRAP|TSTP"
    r"|TTIN|TTOU|URG|USR1|USR2|VTALRM|WINCH|XCPU|XFSZ|RTMIN(\+([1-9]|1[0-5]))?|RTMAX(-([1-9]|1[0-4]))?)$"
)
"""The signals that core/v1 knows for Linux (KEP-4960)."""

_MOST_SECONDS: Final = 86400

Text = Annotated[str, StringConstraints(max_length=32768)]

PORT_NAME: Final = r"^([0-9]+-?)*[a-z](-?[a-z0-9])*$"
"""An IANA service name (RFC 6335): letters, digits, single hyphens inside, at least one letter."""

PortRef = Annotated[
    int | str,
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "minimum": 1,
            "maximum": 65535,
            "minLength": 1,
            "maxLength": 15,
            "pattern": PORT_NAME,
        }
    ),
]
"""Number of a port, or the name that one of the container's own ports has."""


class ExecAction(Model):
    """A command in the container (core/v1 `ExecAction`)."""

    command: tuple[Text, ...] = Field(
        min_length=1,
        max_length=1024,
        description="The command and its arguments; no shell. Success is exit code 0.",
        json_schema_extra=LIST_ATOMIC,
    )


class HTTPHeader(Model):
    """A header of the request (core/v1 `HTTPHeader`)."""

    name: str = Field(min_length=1, max_length=256, pattern=HEADER_NAME, description="Name; the same one may come again.")
    value: str = Field(default="", max_length=4096, pattern=r"^[^\r\n\x00]*$", description="Value.")


class HTTPGetAction(Model):
    """A GET request (core/v1 `HTTPGetAction`)."""

    path: str = Field(default="/", max_length=4096, pattern=r"^[^\s\x00]*$", description="Path, with its query if any.")
    port: PortRef = Field(description="Number of the port, or its name among the container's ports.")
    host: str = Field(
        default="",
        max_length=253,
        pattern=r"^[^\s/@\x00]*$",
        description="Host to connect to, from the node; empty: the instance. For a virtual host set the header Host instead.",
    )
    scheme: Literal["HTTP", "HTTPS"] = Field(default="HTTP", description="HTTP or HTTPS; certificates are not verified.")
    http_headers: tuple[HTTPHeader, ...] = Field(
        default=(), max_length=64, description="Headers of the request.", json_schema_extra=LIST_ATOMIC
    )


class TCPSocketAction(Model):
    """A connection (core/v1 `TCPSocketAction`)."""

    port: PortRef = Field(description="Number of the port, or its name among the container's ports.")
    host: str = Field(
        default="",
        max_length=253,
        pattern=r"^[^\s/@\x00]*$",
        description="Host to connect to, from the node; empty: the instance.",
    )


class GRPCAction(Model):
    """A call of the gRPC Health Checking Protocol, without TLS (core/v1 `GRPCAction`)."""

    port: int = Field(ge=1, le=65535, description="Number of the port.")
    service: str = Field(default="", max_length=4096, description="Service to ask for; empty: the server as a whole.")


PROBE_RULES: Final = rules(exactly_one("exec", "httpGet", "tcpSocket", "grpc", of="a probe"))

ONE_SUCCESS: Final = rule(
    "self.successThreshold == 1", "must be 1: a startup or liveness probe succeeds at once", path=".successThreshold"
)

NO_GRACE: Final = rule(
    "!has(self.terminationGracePeriodSeconds)",
    "must not be set for a readiness probe, which ends nothing",
    path=".terminationGracePeriodSeconds",
)


class Probe(Model):
    """A check of a container, made again and again (core/v1 `Probe`)."""

    model_config = ConfigDict(json_schema_extra=PROBE_RULES)

    exec: ExecAction | None = Field(default=None, description="Run a command in the container.")
    http_get: HTTPGetAction | None = Field(default=None, description="Ask by HTTP; 200 to 399 is success.")
    tcp_socket: TCPSocketAction | None = Field(default=None, description="Open a connection.")
    grpc: GRPCAction | None = Field(default=None, description="Ask by gRPC; SERVING is success.")
    initial_delay_seconds: int = Field(
        default=0, ge=0, le=_MOST_SECONDS, description="Seconds from the start of the container before the first one."
    )
    period_seconds: int = Field(default=10, ge=1, le=_MOST_SECONDS, description="Seconds between two.")
    timeout_seconds: int = Field(default=1, ge=1, le=_MOST_SECONDS, description="Seconds after which one has failed.")
    success_threshold: int = Field(
        default=1, ge=1, le=1000, description="Successes in a row that make a failed one successful; 1 but for readiness."
    )
    failure_threshold: int = Field(default=3, ge=1, le=100000, description="Failures in a row that count as failed.")
    termination_grace_period_seconds: int | None = Field(
        default=None,
        ge=1,
        le=_MOST_SECONDS,
        description="Seconds to end in when this probe has failed, in place of the instance's own.",
    )


class SleepAction(Model):
    """A pause (core/v1 `SleepAction`)."""

    seconds: int = Field(ge=0, le=_MOST_SECONDS, description="Its length in seconds; at most the grace period.")


HANDLER_RULES: Final = rules(exactly_one("exec", "httpGet", "sleep", of="a lifecycle handler"))


class LifecycleHandler(Model):
    """What is done at one moment of a container's life (core/v1 `LifecycleHandler`)."""

    model_config = ConfigDict(json_schema_extra=HANDLER_RULES)

    exec: ExecAction | None = Field(default=None, description="Run a command in the container.")
    http_get: HTTPGetAction | None = Field(default=None, description="Ask by HTTP; whatever is answered is success.")
    sleep: SleepAction | None = Field(default=None, description="Wait.")


class Lifecycle(Model):
    """What is done as a container comes and goes (core/v1 `Lifecycle`)."""

    post_start: LifecycleHandler | None = Field(
        default=None,
        description="Done right after the start, beside the container's own process. If it fails, the container is restarted.",
    )
    pre_stop: LifecycleHandler | None = Field(
        default=None, description="Done before the stop signal is sent; the grace period runs meanwhile."
    )
    stop_signal: str | None = Field(
        default=None, max_length=16, pattern=STOP_SIGNAL, description="Signal that asks it to stop, in place of the image's."
    )
