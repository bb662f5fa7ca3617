"""The error tree: a stable code, an HTTP status and whether trying again can help.

CaptureError
├── InvalidRequest        400  the caller's input is wrong; names the field
├── Unauthenticated       401  no credential, or one that is unknown, expired or revoked
├── Forbidden             403  a known credential that may not do this
├── NotFound              404  unknown, or another account's
├── Conflict              409  the state forbids it
│   └── IllegalMove       409  a session move that the table does not hold
├── Gone                  410  it was here, and is not any more
├── PreconditionFailed    412  the caller knows another version
├── TooLarge              413
├── UnsupportedMedia      415
├── Unprocessable         422  well-formed, but cannot be served
├── PreconditionRequired  428  the caller has to say which version it means
├── TooManyRequests       429  says when to come back; retryable
└── Unavailable           503  a part that this needs does not answer; retryable
"""


class CaptureError(Exception):
    """Base of every expected failure; doors translate it into the wire's error envelope.

    `message` is shown to the caller: it must hold no secret and no speech.
    """

    status = 500
    code = "internal_error"
    retryable = False

    def __init__(self, message: str, *, code: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        if code is not None:
            self.code = code


class InvalidRequest(CaptureError):
    status = 400
    code = "invalid_request"


class Unauthenticated(CaptureError):
    status = 401
    code = "unauthenticated"


class Forbidden(CaptureError):
    status = 403
    code = "forbidden"


class NotFound(CaptureError):
    status = 404
    code = "not_found"


class Conflict(CaptureError):
    status = 409
    code = "conflict"


class IllegalMove(Conflict):
    code = "illegal_move"


class Gone(CaptureError):
    status = 410
    code = "gone"


class PreconditionFailed(CaptureError):
    status = 412
    code = "precondition_failed"


class TooLarge(CaptureError):
    status = 413
    code = "too_large"


class UnsupportedMedia(CaptureError):
    status = 415
    code = "unsupported_media"


class Unprocessable(CaptureError):
    status = 422
    code = "unprocessable"


class PreconditionRequired(CaptureError):
    status = 428
    code = "precondition_required"


class TooManyRequests(CaptureError):
    status = 429
    code = "rate_limited"
    retryable = True

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(CaptureError):
    """`retry_after_seconds` is what the answer's Retry-After says."""

    status = 503
    retry_after_seconds = 5
    code = "unavailable"
    retryable = True
