"""The pure half of the manager: which instances there should be, where, and what is told of a workload. No I/O in here."""
