"""What is generated of the Helm chart: its schema, the table of its values, copies of definitions, the plain manifests.

Needs PyYAML and the built helm, unlike the rest of tools/.
"""
