"""Stretches of media that play under a slug which says what they are: nothing is stored for any of them."""

import re
from dataclasses import dataclass

# Longer than any slug that is drawn by chance.
_SLUG = re.compile(r"((?:m|a|rts)-[0-9a-z]{26})_([0-9a-f]{1,12})_([0-9a-f]{1,12})")


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of an asset, in milliseconds from its start, or of a stream, in Unix milliseconds."""

    owner_id: str
    start_ms: int
    end_ms: int

    @property
    def slug(self) -> str:
        """What the links to it name. It is no secret: only what this server has signed opens it."""
        return f"{self.owner_id}_{self.start_ms:x}_{self.end_ms:x}"

    @property
    def is_of_stream(self) -> bool:
        return self.owner_id.startswith("rts-")


def read_stretch(slug: str) -> Stretch | None:
    """The stretch that a slug says; None for the slug of a stored playback."""
    found = _SLUG.fullmatch(slug)
    return Stretch(found[1], int(found[2], 16), int(found[3], 16)) if found else None
