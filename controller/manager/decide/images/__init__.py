"""ContainerImages, nodes and what is asked of them -> what to ask next, and what to tell. Pure."""
