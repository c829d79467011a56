"""What a process tells of itself to whoever operates it: health, readiness, metrics."""
