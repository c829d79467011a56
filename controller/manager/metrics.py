"""The manager's metrics. Calls to the API server are counted where they are made (kube/client.py)."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

RECONCILES: Final = Counter("moorage_manager_reconciles_total", "Reconciles by what was reconciled.", ["kind"])
FAILURES: Final = Counter("moorage_manager_reconcile_failures_total", "Reconciles that failed and are repeated.", ["kind"])
WRITES: Final = Counter("moorage_manager_writes_total", "Writes to the API server that took effect.", ["what"])
SECONDS: Final = Histogram(
    "moorage_manager_reconcile_seconds",
    "Duration of a reconcile in seconds, its API calls included.",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
)
WAITING: Final = Gauge("moorage_manager_queue_depth", "Keys that wait for a reconcile.")
RESTARTS: Final = Counter("moorage_manager_watch_restarts_total", "Watches that were found deaf and started anew.")
LEADER: Final = Gauge("moorage_manager_leader", "1 while this manager leads.")
