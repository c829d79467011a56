"""The node half: turns its node's instances into containers, and reports back."""
