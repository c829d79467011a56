"""Why a field of core/v1 is not in the schema, by type and field, and what else the models alone cannot tell.

A reason is one short sentence. When a field becomes supported, `make verify` asks for its reason to be deleted here. Types that
no model stands for yet may have reasons already: they are shown once there is such a model.
"""

from typing import Final

Fields = dict[str, dict[str, str]]

_APPARMOR: Final = "No kernel that Moorage is tested on has AppArmor, so that nothing could be shown of it."
_DRIVER: Final = "A storage driver that was in Kubernetes itself; it is no more, or is on its way out."
_CSI: Final = "Needs a CSI driver, whose node half is driven by a kubelet."
_WINDOWS: Final = "Nodes are Linux."
_SELINUX: Final = "SELinux labels are not set; containerd runs without them."
_SCHEDULER: Final = "Is for kube-scheduler; the manager places instances itself."
_PRIORITY: Final = "Nothing is preempted or evicted for another: what does not fit waits."
_CLAIMS: Final = "Dynamic resource allocation is not spoken: its drivers register with a kubelet."

ABSENT: Final[Fields] = {
    "PodSpec": {
        "affinity": "Nodes are chosen by name, labels and taints; replicas are spread over them in any case.",
        "automountServiceAccountToken": "No token is mounted unless a volume says so.",
        "enableServiceLinks": "No variables are made of Services: no Service knows of an instance.",
        "ephemeralContainers": "`moorage exec` looks into a running container.",
        "hostUsers": "User namespaces are not made.",
        "hostnameOverride": "`hostname`, `subdomain` and `setHostnameAsFQDN` say it.",
        "os": _WINDOWS,
        "overhead": "Kubernetes' admission writes it from the RuntimeClass; here it is read from there.",
        "preemptionPolicy": _PRIORITY,
        "priority": _PRIORITY,
        "priorityClassName": _PRIORITY,
        "readinessGates": "Readiness comes from the containers; nobody else writes conditions.",
        "resourceClaims": _CLAIMS,
        "resources": "Limits are the containers' own; there is none of the instance as a whole.",
        "schedulerName": _SCHEDULER,
        "schedulingGates": "`suspend` holds a workload back.",
        "schedulingGroup": _SCHEDULER,
        "serviceAccount": "Deprecated in core/v1 for `serviceAccountName`.",
        "topologySpreadConstraints": "Replicas are spread over nodes, not over other topologies.",
    },
    "Container": {
        "stdinOnce": "It is about the end of an attachment, and nobody attaches: `moorage exec` talks to a process of its own.",
        "volumeDevices": _CSI,
    },
    "EnvVarSource": {"fileKeyRef": "An init container that writes variables into a volume is not read back."},
    "HTTPGetAction": {},
    "LifecycleHandler": {"tcpSocket": "Deprecated in core/v1, where it fails when it is run."},
    "PodSecurityContext": {
        "appArmorProfile": _APPARMOR,
        "fsGroupChangePolicy": "Has no effect on any kind of volume that there is here, nor has it in core/v1 on these.",
        "seLinuxChangePolicy": _SELINUX,
        "seLinuxOptions": _SELINUX,
        "supplementalGroupsPolicy": "Groups of the image's own group file are always given (`Merge`).",
        "windowsOptions": _WINDOWS,
    },
    "ResourceRequirements": {"claims": _CLAIMS},
    "SecurityContext": {
        "appArmorProfile": _APPARMOR,
        "seLinuxOptions": _SELINUX,
        "windowsOptions": _WINDOWS,
    },
    "Toleration": {"tolerationSeconds": "An instance that does not tolerate a NoExecute taint goes at once."},
    "Volume": {
        **dict.fromkeys(
            (
                *("awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "flexVolume", "flocker"),
                *("gcePersistentDisk", "glusterfs", "photonPersistentDisk", "portworxVolume", "quobyte", "rbd"),
                *("scaleIO", "storageos", "vsphereVolume"),
            ),
            _DRIVER,
        ),
        "csi": _CSI,
        "ephemeral": _CSI,
        "persistentVolumeClaim": _CSI,
        "fc": "Block storage is attached by the node; a hostPath leads to where it is mounted.",
        "gitRepo": "Disabled in Kubernetes since it ran what a repository said, as root.",
        "iscsi": "Block storage is attached by the node; a hostPath leads to where it is mounted.",
        "nfs": "Mounted by the node; a hostPath leads there.",
    },
    "VolumeProjection": {
        "clusterTrustBundle": "Needs rights on the cluster's trust bundles that agents do not have.",
        "podCertificate": "Is issued for a Pod, which an instance is not.",
    },
}

OWN: Final[Fields] = {
    "Container": {
        "restartedAt": "A new value restarts this container alone.",
        "suspend": "Stops this container alone, and starts it again.",
    },
    "PodSpec": {
        "backoff": "Pauses between restarts; in Kubernetes a setting of the kubelet.",
        "network": "`None`: a network with nothing but loopback; a Pod always has one that is attached.",
    },
}
"""Fields of ours alone."""

REMARKS: Final[Fields] = {
    "PodSpec": {
        "imagePullSecrets": "Those of a ServiceAccount are not used: Kubernetes' admission writes them into Pods alone.",
        "serviceAccountName": "Says whose tokens volumes hold; none is mounted by itself.",
    },
    "Container": {
        "resources": "Without room on its node an instance waits, and does not fail. The QoS class may change with them.",
        "restartPolicyRules": "The action `RestartAllContainers` is not taken.",
        "stdin": "Nobody writes to it: `moorage exec` talks to a process of its own in the container.",
        "tty": "Needs no `stdin`.",
        "imagePullPolicy": "`Always` asks for each new instance and each changed spec, not for a restart after a crash.",
    },
    "PodSecurityContext": {
        "sysctls": "One that leaves the spec keeps its value until the instance's network, or its IPC, is made anew.",
    },
    "LifecycleHandler": {"httpGet": "An HTTPS request does not fall back to HTTP."},
    "Lifecycle": {"stopSignal": "Needs no `os.name`."},
    "EmptyDirVolumeSource": {"sizeLimit": "On disk as well: who exceeds it is evicted, and of a workload another one comes."},
    "Probe": {
        "failureThreshold": "0 is no value (in core/v1 it means the default).",
        "periodSeconds": "0 is no value. A container that has not started yet is also asked in between.",
        "successThreshold": "0 is no value.",
        "timeoutSeconds": "0 is no value.",
    },
    "ResourceFieldSelector": {"resource": "Of cpu and memory."},
    "SecurityContext": {
        "allowPrivilegeEscalation": "Default: false.",
        "capabilities": "Written without `CAP_`; one that does not exist or that the node cannot give is an error.",
        "procMount": "`Unmasked` needs no user namespace.",
        "runAsNonRoot": "A name in the image's USER is looked up; a kubelet refuses every name.",
    },
    "VolumeProjection": {
        "serviceAccountToken": "Bound to the Node, not to the instance. Needs the chart's value and a label of the namespace.",
    },
    "VolumeMount": {
        "mountPath": "Must be absolute. A volume wins over `/dev/termination-log`, too.",
    },
}
"""What differs from core/v1 where a field is supported."""

NAMES: Final[dict[str, str]] = {
    "InstanceSpec": "PodSpec",
    "DNSConfig": "PodDNSConfig",
    "DNSConfigOption": "PodDNSConfigOption",
    "VolumeFieldSelector": "ObjectFieldSelector",
}
"""Models whose name is not that of the type in core/v1 that they stand for."""

MAPS: Final = frozenset({"ResourceLimits", "ResourceList"})
"""Models that stand for a map of core/v1, whose keys are theirs."""
