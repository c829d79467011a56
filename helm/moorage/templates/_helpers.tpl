{{/*
Names are fixed, not derived from the release: one cluster has one Moorage, since definitions, policies and the leases'
namespace are the cluster's. A second release is refused by Helm, as those belong to the first.
*/}}

{{/* Labels of every object; call with (dict "root" $ "component" "manager"). */}}
{{- define "moorage.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "moorage.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: moorage
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{/* Labels that pods are selected by; they never change. */}}
{{- define "moorage.selector" -}}
app.kubernetes.io/name: moorage
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/* Names of the identities. */}}
{{- define "moorage.manager.serviceAccount" -}}moorage-manager{{- end }}
{{- define "moorage.agent.serviceAccount" -}}moorage-agent{{- end }}
{{- define "moorage.uninstall.serviceAccount" -}}moorage-uninstall{{- end }}

{{/* The user names of the identities, as policies see them. */}}
{{- define "moorage.manager.user" -}}system:serviceaccount:{{ .Release.Namespace }}:{{ include "moorage.manager.serviceAccount" . }}{{- end }}
{{- define "moorage.agent.user" -}}system:serviceaccount:{{ .Release.Namespace }}:{{ include "moorage.agent.serviceAccount" . }}{{- end }}

{{/* The namespace of the agents' heartbeats; agents and manager know it by this name. */}}
{{- define "moorage.leaseNamespace" -}}moorage-node-lease{{- end }}

{{- define "moorage.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Environment of every container: where the API server is, when it is not to be the Service. */}}
{{- define "moorage.environment" -}}
{{- with .Values.apiServer.host }}
- name: KUBERNETES_SERVICE_HOST
  value: {{ . | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ $.Values.apiServer.port | quote }}
{{- end }}
{{- end }}

{{/* What a process that needs nothing of its node is confined to. */}}
{{- define "moorage.confined.pod" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}
{{- define "moorage.confined.container" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Probes of a half; call with its metrics port. /healthz fails when the process is stuck: only a restart helps. */}}
{{- define "moorage.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}

{{/*
What an agent sees of its node, as a list of {name, path, type, readOnly, propagation, why}: the DaemonSet's volumes and
mounts are made from it. Each path is mounted where it is on the node, because containerd, its shims and the OCI runtime are
told the same paths and look them up on the node itself.
*/}}
{{- define "moorage.agent.paths" -}}
{{- with .Values.agent }}
{{- $runtime := clean (dir .containerd.socket) }}
- name: containerd
  path: {{ $runtime }}
  type: Directory
  propagation: HostToContainer
  why: >-
    containerd's socket, and beside it the folders of running containers, by which the agent tells a shim that containerd
    has lost. The folder, not the socket alone: a containerd that restarts makes a new socket. Containers' root file systems
    are mounted below it; they must also go from here when the node unmounts them, or their removal would fail as busy.
{{- if ne $runtime "/run/containerd" }}
- name: shims
  path: /run/containerd
  type: DirectoryOrCreate
  propagation: HostToContainer
  why: >-
    sockets of shims, which are in /run/containerd/s wherever containerd's own is: the agent removes the one of a lost shim.
{{- end }}
- name: containerd-root
  path: {{ clean .containerd.root }}
  type: Directory
  readOnly: true
  propagation: HostToContainer
  why: >-
    layers of images: the agent reads /etc/passwd and /etc/group of an image in them, without mounting anything, and tells
    how full this file system is.
- name: state
  path: {{ clean .stateDir }}
  type: DirectoryOrCreate
  propagation: HostToContainer
  why: >-
    what this node is to run, so that it does so when the API server is away; the lock that keeps a second agent out; and volumes
    of instances, which are made and mounted in containerd's mount namespace. What is unmounted there must go from here, too.
- name: logs
  path: {{ clean .logDir }}
  type: DirectoryOrCreate
  why: >-
    output of the containers: written by the shims, on the node, and rotated and removed by the agent.
- name: run
  path: /run/moorage
  type: DirectoryOrCreate
  propagation: Bidirectional
  why: >-
    network namespaces, which the agent mounts and the OCI runtime on the node must find, hence both ways; the pipes of
    `moorage exec`, the other end of which a shim opens; and Secrets, in memory, which outlive the pod.
{{- if not (hasPrefix "/run/moorage/" (printf "%s/" (clean .netnsDir))) }}
- name: netns
  path: {{ clean .netnsDir }}
  type: DirectoryOrCreate
  propagation: Bidirectional
  why: >-
    network namespaces, which the agent mounts and the OCI runtime on the node must find.
{{- end }}
{{- if not (hasPrefix "/run/moorage/" (printf "%s/" (clean .memoryDir))) }}
- name: memory
  path: {{ clean .memoryDir }}
  type: DirectoryOrCreate
  propagation: Bidirectional
  why: >-
    Secrets, in memory: a tmpfs that the agent mounts there, where there is none, outlives the pod.
{{- end }}
- name: cni
  path: {{ clean .cni.confDir }}
  type: DirectoryOrCreate
  readOnly: true
  why: >-
    the node's CNI configuration, by which instances are attached. The plugins need no mount: they are run in containerd's
    mount namespace, which is the node's.
{{- range $index, $folder := .archiveDirs }}
- name: archives-{{ $index }}
  path: {{ clean $folder }}
  type: DirectoryOrCreate
  readOnly: true
  propagation: HostToContainer
  why: >-
    archives of images, which ContainerImages may name: the agent reads them, and hands their content to containerd.
{{- end }}
{{- with .imageCredentialProvider }}
{{- if .config }}
- name: credential-providers
  path: {{ clean .config }}
  type: ""
  readOnly: true
  why: >-
    which plugins are asked for credentials for registries, and for which images.
- name: credential-plugins
  path: {{ clean (required "agent.imageCredentialProvider.config needs agent.imageCredentialProvider.binDir" .binDir) }}
  type: Directory
  readOnly: true
  why: >-
    these plugins.
{{- end }}
{{- end }}
- name: cgroups
  path: /sys/fs/cgroup
  type: Directory
  why: >-
    the node's cgroups, to see whether a container was killed for want of memory and which version they are, and to remove what
    a start leaves that was interrupted. With cgroup v1 a pod sees only its own otherwise, even a privileged one.
- name: devices
  path: /dev
  type: Directory
  why: >-
    the node's devices as they are now: a privileged container gets all of them. A pod's own /dev shows those of its start.
{{- end }}
{{- end }}
