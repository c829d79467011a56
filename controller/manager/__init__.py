"""The cluster half: turns workloads into instances, and instances' status into workload status."""
