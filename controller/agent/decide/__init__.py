"""The pure half of the agent: what to do, how a container is made, and what to report. No I/O in here."""
