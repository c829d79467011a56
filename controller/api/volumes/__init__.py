"""Volumes of an instance, and where its containers mount them: names, defaults and validation of core/v1."""
