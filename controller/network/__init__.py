"""Networks of instances: what an agent may ask for (`port.py`), and network namespaces as Linux has them."""
