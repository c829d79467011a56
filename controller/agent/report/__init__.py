"""What the agent tells the API server: statuses, events and the heartbeat."""
