"""What can go wrong with a call to the API server: one tree, translated once, in `client.py`.

ApiFailure
|-- ApiUnavailable      no answer, 429, 5xx, or not authenticated now: trying again makes sense
|-- ApiNotFound         404
|-- ApiAlreadyExists    409 on create
|-- ApiConflict         409 elsewhere, or a failed precondition: somebody else wrote in between
|-- ApiInvalid          400, 413, 415, 422: the body will not do, now or later
`-- ApiForbidden        403: a missing right, a quota or the like refuses it
    `-- ApiDenied       an admission policy (or webhook) has judged the body, and will again
"""


class ApiFailure(Exception):  # noqa: N818 - the tree reads better with the words of the API
    """Root of the tree; `str()` of it is the API server's own sentence where it gave one."""


class ApiUnavailable(ApiFailure):
    """No usable answer; trying again makes sense."""


class ApiNotFound(ApiFailure):
    """The object, or its kind, is not there."""


class ApiAlreadyExists(ApiFailure):
    """An object of that name is there."""


class ApiConflict(ApiFailure):
    """Somebody else wrote in between."""


class ApiInvalid(ApiFailure):
    """The API server will never take this body."""


class ApiForbidden(ApiFailure):
    """The caller may not do this."""


class ApiDenied(ApiForbidden):
    """An admission policy refuses what the body asks for."""
