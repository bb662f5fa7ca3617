import pytest

from app.ingest.whip.pinned import check_attributes, check_signature


def test_a_moved_seam_is_named_with_the_pinned_version() -> None:
    def gather(self: object, timeout: float) -> None: ...

    check_signature(gather, ("self", "timeout"))
    with pytest.raises(ImportError, match=r"aiortc 1\.16.*gather now takes"):
        check_signature(gather, ("self",))


def test_a_missing_attribute_is_named_too() -> None:
    check_attributes(ValueError(), "args")
    with pytest.raises(ImportError, match="ValueError no longer has _queue"):
        check_attributes(ValueError(), "_queue")
