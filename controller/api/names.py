"""What an instance is called in its own network, and whom it asks for names (core/v1 `HostAlias`, `PodDNSConfig`)."""

from typing import Annotated, Final

from pydantic import Field, StringConstraints

from controller.api.base import LIST_ATOMIC, Model, rule, rules

LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN: Final = rf"^{LABEL}(\.{LABEL})*$"
_SEARCH_LABEL: Final = r"[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?"
SEARCH: Final = rf"^(\.|{_SEARCH_LABEL}(\.{_SEARCH_LABEL})*\.?)$"
"""A domain to search in: labels may have underscores, and it may end with a dot (kubernetes.io, "Relaxed DNS search")."""

MOST_NAMESERVERS: Final = 3
MOST_SEARCHES: Final = 32
MOST_SEARCH_CHARACTERS: Final = 2048
"""Limits of core/v1; the first is glibc's (resolv.conf(5), MAXNS)."""

IS_AN_ADDRESS: Final = rules(rule("isIP(self)", "must be an IPv4 or IPv6 address, such as 10.0.0.10 or fd00::10"))
IS_AN_ADDRESS_OR_EMPTY: Final = rules(
    rule("self == '' || isIP(self)", "must be an IPv4 or IPv6 address of the node, such as 192.0.2.7")
)

HostName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=SUBDOMAIN)]
Address = Annotated[str, StringConstraints(max_length=45), Field(json_schema_extra=IS_AN_ADDRESS)]
Search = Annotated[str, StringConstraints(min_length=1, max_length=254, pattern=SEARCH)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\s:]+$")]


class HostAlias(Model):
    """A line of /etc/hosts (core/v1 `HostAlias`)."""

    ip: str = Field(min_length=1, max_length=45, description="The address.", json_schema_extra=IS_AN_ADDRESS)
    hostnames: tuple[HostName, ...] = Field(
        default=(), max_length=64, description="Names that lead to it.", json_schema_extra=LIST_ATOMIC
    )


class DNSConfigOption(Model):
    """An option of the resolver (core/v1 `PodDNSConfigOption`; resolv.conf(5))."""

    name: Word = Field(description="Its name: ndots, timeout, single-request, ...")
    value: str = Field(default="", max_length=128, pattern=r"^\S*$", description="Its value, for those that have one.")


class DNSConfig(Model):
    """What is added to the resolver's configuration that dnsPolicy gives (core/v1 `PodDNSConfig`)."""

    nameservers: tuple[Address, ...] = Field(
        default=(),
        max_length=MOST_NAMESERVERS,
        description="Name servers, after those of dnsPolicy; of all, the first three count.",
        json_schema_extra=LIST_ATOMIC,
    )
    searches: tuple[Search, ...] = Field(
        default=(),
        max_length=MOST_SEARCHES,
        description="Domains to search in, after those of dnsPolicy; of all, the first 32 with at most 2048 characters count.",
        json_schema_extra=LIST_ATOMIC
        | rules(
            rule(
                f"self.join(' ').size() <= {MOST_SEARCH_CHARACTERS}",
                f"the searches together must have at most {MOST_SEARCH_CHARACTERS} characters, spaces included",
            )
        ),
    )
    options: tuple[DNSConfigOption, ...] = Field(
        default=(),
        max_length=32,
        description="Options; over those of the same name of dnsPolicy.",
        json_schema_extra=LIST_ATOMIC,
    )
