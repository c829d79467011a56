"""`docs/podspec.md`: which fields of core/v1 `PodSpec` there are here, and why the others are not.

What is supported is read from the models; `absent.py` has the reasons for the rest; a test holds both against the OpenAPI of
the API server.
"""
