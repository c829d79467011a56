"""The adapter for containerd: `runtime.ContainerdRuntime` is `controller.runtime.port.Runtime` on containerd's gRPC API.

Nothing is imported here, so that the protobuf modules can be generated anew when they do not fit the code.
"""
