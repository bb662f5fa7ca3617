import app.domain.models  # noqa: F401 - brings every subclass that the domain makes
from app.base import errors
from app.base.errors import CaptureError, IllegalMove, InvalidRequest


def every(kind: type[CaptureError]) -> list[type[CaptureError]]:
    return [kind, *(found for sub in kind.__subclasses__() for found in every(sub))]


def test_each_error_of_the_tree_has_a_code_of_its_own_and_a_status_of_failure() -> None:
    own = [kind for kind in every(CaptureError) if kind.__module__ == errors.__name__]
    assert len({kind.code for kind in own}) == len(own) == 15
    assert all(400 <= kind.status < 600 for kind in every(CaptureError))


def test_only_what_may_pass_by_itself_is_retryable() -> None:
    assert {kind.status for kind in every(CaptureError) if kind.retryable} == {429, 503}


def test_an_error_shows_its_message_field_and_code() -> None:
    error = InvalidRequest("limit must be positive", field="limit", code="bad_limit")
    assert (str(error), error.field, error.code, error.status) == (
        "limit must be positive",
        "limit",
        "bad_limit",
        400,
    )
    assert InvalidRequest("x").code == "invalid_request"  # the class keeps its own
    assert IllegalMove("x").status == 409
