"""The Pod Security Standards for Moorage's schema, and the wording of Kubernetes' Pod Security admission.

`table.py` is the one source: a list of controls, made of the few predicates in `predicates.py`. Everything else reads it:
`check.py` judges a spec in Python (the agent's own check), `generate.py` renders the ValidatingAdmissionPolicies of the chart.
`levels.py` finds the level that holds in a namespace from its labels.
"""
