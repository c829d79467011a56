"""Environment variables of a container: names, defaults and meaning of core/v1 `EnvVar`, `EnvVarSource` and `EnvFromSource`."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from controller.api.base import Model, exactly_one, rule, rules
from controller.api.names import LABEL, SUBDOMAIN

DNS_LABEL: Final = rf"^{LABEL}$"
ENV_NAME: Final = r"^[^=\x00]+$"

PREFIX: Final = r"^[ -<>-~]*$"
"""What may be before a name: printable ASCII without '=' (KEP-4369)."""

KEY: Final = r"^[-._a-zA-Z0-9]+$"
"""A key of a ConfigMap or Secret (apimachinery `IsConfigMapKey`)."""

ENV_FIELDS: Final = (
    *("metadata.name", "metadata.namespace", "metadata.uid"),
    *("spec.nodeName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"),
)
"""Fields of an instance that a variable may take its value from; besides, single labels and annotations."""

Optional = Annotated[bool | None, AfterValidator(lambda value: value or None)]
"""True or nothing. Like all defaults in a list's items, that of core/v1 is not filled in: kubectl would take it back each time.
And written out, it is read as if it were not there, so that it makes no other container."""

CPU_DIVISORS: Final = ("1", "1m")
MEMORY_DIVISORS: Final = ("1", *(f"1{unit}" for unit in ("k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")))
"""As `validateContainerResourceDivisor` of core/v1; besides, 0 means 1."""

Divisor = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if isinstance(value, int) and not isinstance(value, bool) else value),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "minimum": 0,
            "maximum": 1,
            "maxLength": 3,
            "pattern": "^(0|1|1[mkMGTPE]|1[KMGTPE]i)$",
        }
    ),
]
"""One unit, as a quantity."""

_SINGLE: Final = (
    '((self.startsWith("metadata.labels[\'") || self.startsWith("metadata.annotations[\'")) && self.endsWith("\']"))'
)


def one_of(fields: tuple[str, ...]) -> dict[str, Any]:
    """The rule of a fieldPath: one of these, or a single label or annotation."""
    listed = ", ".join(f"'{field}'" for field in fields)
    told = ", ".join((*fields, "metadata.labels['<KEY>']", "metadata.annotations['<KEY>']"))
    return rules(rule(f"self in [{listed}] || {_SINGLE}", f"must be one of {told}"))


Version = Annotated[Literal["v1"] | None, AfterValidator(lambda _: None)]
"""There is no other."""


class ObjectFieldSelector(Model):
    """A field of the instance (core/v1 `ObjectFieldSelector`)."""

    api_version: Version = Field(default=None, description="Version of the schema of fieldPath: v1.")
    field_path: str = Field(
        min_length=1,
        max_length=400,
        description="The field, as a Pod's: metadata.name, metadata.labels['<KEY>'], status.podIP, ...",
        json_schema_extra=one_of(ENV_FIELDS),
    )


def _quoted(items: tuple[str, ...]) -> str:
    return ", ".join(f"'{item}'" for item in ("0", *items))


DIVISOR_RULE: Final = rule(
    "!has(self.divisor) || string(self.divisor) in "
    f"(self.resource.endsWith('.cpu') ? [{_quoted(CPU_DIVISORS)}] : [{_quoted(MEMORY_DIVISORS)}])",
    "only 1 and 1m divide cpu, and only 1, 1k, 1M, ..., 1E, 1Ki, 1Mi, ..., 1Ei memory",
    path=".divisor",
)


class ResourceFieldSelector(Model):
    """What a container may use, as a number (core/v1 `ResourceFieldSelector`)."""

    model_config = ConfigDict(json_schema_extra=rules(DIVISOR_RULE))

    container_name: str = Field(
        default="", max_length=63, pattern=rf"^$|{DNS_LABEL}", description="The container; this one when empty."
    )
    resource: Literal["limits.cpu", "limits.memory", "requests.cpu", "requests.memory"] = Field(
        description="What of it. A limit that is not set is what the node has; a request that is not, the limit, or 0."
    )
    divisor: Divisor | None = Field(
        default=None, description="Unit that it is told in, rounded up: 1m for cpu, 1Mi for memory. Default: 1."
    )


class KeySelector(Model):
    """A key of an object in the instance's own namespace."""

    name: str = Field(min_length=1, max_length=253, pattern=SUBDOMAIN, description="Name of the object.")
    key: str = Field(min_length=1, max_length=253, pattern=KEY, description="The key.")
    optional: Optional = Field(
        default=None, description="true: without the object or the key, the container starts without the variable."
    )


class ConfigMapKeySelector(KeySelector):
    """A key of a ConfigMap (core/v1 `ConfigMapKeySelector`)."""


class SecretKeySelector(KeySelector):
    """A key of a Secret (core/v1 `SecretKeySelector`)."""


SOURCE_RULES: Final = rules(exactly_one("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef"))


class EnvVarSource(Model):
    """Where the value of a variable is taken from, at each start of the container (core/v1 `EnvVarSource`)."""

    model_config = ConfigDict(json_schema_extra=SOURCE_RULES)

    field_ref: ObjectFieldSelector | None = Field(default=None, description="A field of the instance.")
    resource_field_ref: ResourceFieldSelector | None = Field(default=None, description="What a container may use.")
    config_map_key_ref: ConfigMapKeySelector | None = Field(default=None, description="A key of a ConfigMap.")
    secret_key_ref: SecretKeySelector | None = Field(default=None, description="A key of a Secret.")


class EnvSource(Model):
    """An object in the instance's own namespace."""

    name: str = Field(min_length=1, max_length=253, pattern=SUBDOMAIN, description="Name of the object.")
    optional: Optional = Field(
        default=None, description="true: without the object, the container starts without its variables."
    )


class ConfigMapEnvSource(EnvSource):
    """A ConfigMap (core/v1 `ConfigMapEnvSource`)."""


class SecretEnvSource(EnvSource):
    """A Secret (core/v1 `SecretEnvSource`)."""


ENV_FROM_RULES: Final = rules(
    rule(
        "has(self.configMapRef) != has(self.secretRef)",
        "needs exactly one of configMapRef and secretRef",
    )
)


class EnvFromSource(Model):
    """An object whose keys all become variables (core/v1 `EnvFromSource`)."""

    model_config = ConfigDict(json_schema_extra=ENV_FROM_RULES)

    prefix: str = Field(default="", max_length=253, pattern=PREFIX, description="Put before each key.")
    config_map_ref: ConfigMapEnvSource | None = Field(default=None, description="A ConfigMap; its binaryData is left out.")
    secret_ref: SecretEnvSource | None = Field(default=None, description="A Secret.")


VALUE_RULES: Final = rules(
    rule(
        "!has(self.valueFrom) || !has(self.value) || self.value == ''",
        "may not be specified when `value` is not empty",
        path=".valueFrom",
    )
)


class EnvVar(Model):
    """One environment variable (core/v1 `EnvVar`)."""

    model_config = ConfigDict(json_schema_extra=VALUE_RULES)

    name: str = Field(min_length=1, max_length=1024, pattern=ENV_NAME, description="Name of the variable; no '='.")
    value: str = Field(
        default="",
        max_length=131072,
        description="Its value. $(NAME) is the variable NAME of the spec, if it was set before; $$ is a $.",
    )
    value_from: EnvVarSource | None = Field(default=None, description="Where the value is taken from instead.")
