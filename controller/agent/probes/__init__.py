"""Probes and lifecycle handlers at work, beside the supervisors: they find facts, and the planner decides on them."""
