"""Containers in containerd: a record, a snapshot and, once started, a task with a shim."""
