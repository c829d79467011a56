"""Images in containerd: pulled by its transfer service, read from its content store."""
