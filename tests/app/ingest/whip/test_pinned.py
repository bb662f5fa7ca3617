import pytest

from app.ingest.whip.pinned import check_signature


def test_a_moved_seam_is_named_with_the_pinned_version() -> None:
    def gather(self: object, timeout: float) -> None: ...

    check_signature(gather, ("self", "timeout"))
    with pytest.raises(ImportError, match=r"aiortc 1\.16.*gather now takes"):
        check_signature(gather, ("self",))
