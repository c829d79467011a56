"""The part of containerd's gRPC API that the adapter uses.

The `.proto` files hold the wire contract (packages, services, messages and field numbers as in containerd 2.x), cut down to what is in
use. The `*_pb2.py` and `*_pb2.pyi` beside them are generated: `python -m controller.runtime.containerd.api.generate`.
"""
