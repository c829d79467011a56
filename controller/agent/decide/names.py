"""What an instance is called, and whom it asks for names: host name, /etc/hosts, /etc/hostname and /etc/resolv.conf. Pure.

Source: kubernetes.io, "DNS for Services and Pods" and "Adding entries to Pod /etc/hosts with HostAliases"; where those are
silent, what a kubelet does (pkg/kubelet/network/dns, pkg/kubelet/kubelet_pods.go).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from controller.agent.decide.observation import NodeFacts
from controller.api.instance import ContainerInstance
from controller.api.names import MOST_NAMESERVERS, MOST_SEARCH_CHARACTERS, MOST_SEARCHES, DNSConfigOption, HostAlias
from controller.network.port import Resolver
from controller.runtime.port import InvalidConfig, Mount

HOSTS: Final = "hosts"
HOSTNAME: Final = "hostname"
RESOLV_CONF: Final = "resolv.conf"
FILES: Final = (HOSTS, HOSTNAME, RESOLV_CONF)
"""The files of an instance, by their names in /etc."""

_MOST_HOST_NAME: Final = 63
"""Characters of a DNS label; a longer name of an instance is cut."""
_MOST_FULL_NAME: Final = 64
"""Characters that Linux takes for a host name."""
_MOST_DOMAIN: Final = 253

_LOCAL: Final = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::0", "ip6-localnet"),
    ("fe00::0", "ip6-mcastprefix"),
    ("fe00::1", "ip6-allnodes"),
    ("fe00::2", "ip6-allrouters"),
)
_CLUSTER_OPTIONS: Final = ("ndots:5",)


@dataclass(frozen=True, slots=True)
class HostNames:
    """The names of an instance with a network of its own."""

    short: str
    domain: str = ""
    """Empty: none."""
    full: bool = False
    """The kernel is told the full name."""

    @property
    def kernel(self) -> str:
        """What gethostname(2) gives."""
        return f"{self.short}.{self.domain}" if self.full and self.domain else self.short


def host_names(instance: ContainerInstance, node: NodeFacts) -> HostNames:
    """The instance's names.

    Raises:
        InvalidConfig: when the full one is to be the kernel's, and is too long for it.
    """
    spec, meta = instance.spec, instance.metadata
    short = (spec.hostname or meta.name)[:_MOST_HOST_NAME].rstrip("-.")
    domain = f"{spec.subdomain}.{meta.namespace}.svc.{node.cluster_domain}" if spec.subdomain else ""
    names = HostNames(short, domain, spec.set_hostname_as_fqdn)
    if len(names.kernel) > _MOST_FULL_NAME:
        raise InvalidConfig(
            f"setHostnameAsFQDN: the full name {names.kernel} has {len(names.kernel)} characters, and Linux takes "
            f"{_MOST_FULL_NAME}: choose a shorter hostname or subdomain"
        )
    return names


def kernel_name(instance: ContainerInstance, node: NodeFacts) -> str:
    """Host name of the instance's containers; empty for the node's own, which goes with the node's network."""
    return "" if instance.spec.host_network else host_names(instance, node).kernel


def mounts(instance: ContainerInstance, node: NodeFacts, *, read_only_root: bool) -> tuple[Mount, ...]:
    """The instance's files in a container. /etc/hosts may be written to even where the root file system may not."""
    folder = f"{node.files_dir}/{instance.metadata.uid}"
    held = {HOSTNAME, RESOLV_CONF} if read_only_root else set()
    return tuple(
        Mount(f"{folder}/{name}", f"/etc/{name}", "bind", ("rbind", "rprivate", "ro" if name in held else "rw"))
        for name in FILES
    )


def files(
    instance: ContainerInstance, node: NodeFacts, addresses: Iterable[str], node_hosts: str, node_resolver: Resolver
) -> Mapping[str, str]:
    """The content of the instance's files.

    Args:
        instance: whose files they are.
        node: the facts of the node.
        addresses: the instance's, on a network of its own.
        node_hosts: content of the node's /etc/hosts.
        node_resolver: the node's own resolver.

    Raises:
        InvalidConfig: when there can be no such host name.
    """
    spec = instance.spec
    aliases = _aliases(spec.host_aliases)
    if spec.host_network:
        hosts = f"# The node's /etc/hosts, as it was when a container was last made.\n{node_hosts.rstrip()}\n{aliases}"
        name = node.host_name
    else:
        names = host_names(instance, node)
        name, called = names.kernel, f"{names.short}.{names.domain}\t{names.short}" if names.domain else names.short
        lines = [*(f"{ip}\t{who}" for ip, who in _LOCAL), *(f"{address}\t{called}" for address in addresses)]
        hosts = "\n".join(["# Made anew whenever a container of the instance is made.", *lines]) + f"\n{aliases}"
    return {HOSTS: hosts, HOSTNAME: f"{name}\n", RESOLV_CONF: resolv_conf(resolver(instance, node, node_resolver))}


def _aliases(aliases: Iterable[HostAlias]) -> str:
    lines = ["\t".join([alias.ip, *alias.hostnames]) for alias in aliases]
    return "\n".join(["", "# hostAliases of the instance:", *lines, ""]) if lines else ""


# --- the resolver


def parse_resolv_conf(text: str) -> Resolver:
    """What a resolv.conf(5) says; of several `search` lines the last counts, of several options of a name as well."""
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split()
        match words:
            case ["nameserver", address, *_]:
                servers.append(address)
            case ["search", *domains]:
                searches = tuple(domain.removesuffix(".") for domain in domains if domain != ".")
            case ["options", *given]:
                options |= {option.partition(":")[0]: option for option in given}
            case _:
                continue
    return Resolver(tuple(servers), searches, tuple(options.values()))


def resolver(instance: ContainerInstance, node: NodeFacts, node_resolver: Resolver) -> Resolver:
    """Whom an instance asks: by dnsPolicy, with dnsConfig added, and within the limits."""
    spec = instance.spec
    policy = spec.dns_policy
    if policy == "ClusterFirst" and spec.host_network:
        policy = "Default"
    if policy == "None":
        base = Resolver()
    elif policy == "Default" or not node.cluster_dns:
        base = node_resolver
    else:
        domain = node.cluster_domain
        own = (f"{instance.metadata.namespace}.svc.{domain}", f"svc.{domain}", domain) if domain else ()
        base = Resolver(node.cluster_dns, (*own, *node_resolver.searches), _CLUSTER_OPTIONS)
    if (more := spec.dns_config) is not None:
        servers = tuple(dict.fromkeys((*base.servers, *more.nameservers)))
        base = Resolver(servers, (*base.searches, *more.searches), _merged(base.options, more.options))
    return Resolver(base.servers[:MOST_NAMESERVERS], _searches(base.searches), base.options)


def resolv_conf(resolver: Resolver) -> str:
    """The file that says so."""
    lines = [f"search {' '.join(resolver.searches)}"] if resolver.searches else []
    lines += [f"nameserver {server}" for server in resolver.servers]
    lines += [f"options {' '.join(resolver.options)}"] if resolver.options else []
    return "".join(f"{line}\n" for line in lines)


def _merged(options: Iterable[str], more: Iterable[DNSConfigOption]) -> tuple[str, ...]:
    merged = {option.partition(":")[0]: option for option in options}
    merged |= {option.name: f"{option.name}:{option.value}" if option.value else option.name for option in more}
    return tuple(merged.values())


def _searches(domains: Iterable[str]) -> tuple[str, ...]:
    """Each once; no more than resolvers take: 32 of at most 253 characters, and 2048 in all with the spaces between them."""
    kept = [domain for domain in [*dict.fromkeys(domains)][:MOST_SEARCHES] if len(domain) <= _MOST_DOMAIN]
    while len(" ".join(kept)) > MOST_SEARCH_CHARACTERS:
        kept.pop()
    return tuple(kept)
