"""Rules held against what is shown rather than written: the pictures of a record with hardly any text."""

from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from app.domain.alerts.service import Matched
from app.engines.contract import likelihood
from workers.matching.words import rule_of

# Vectors of texts, whose inner products with those of pictures are logits (app/engines/contract.py).
EncodeTexts = Callable[[Sequence[str]], NDArray[np.float32]]

# Of photos of something else one in two hundred reaches 0.62 (tests/workers/test_looking_at_pictures.py).
LEAST_LIKELIHOOD = 0.7


def with_pictures(
    rules: Sequence[str],
    found: Sequence[Matched],
    vectors: Sequence[Sequence[float]],
    at: datetime,
    encode_texts: EncodeTexts,
) -> list[Matched]:
    """The verdicts of `found`, or those of the record's pictures where these are surer.

    `vectors` are of its pictures with hardly any text. Raises what `encode_texts` raises.
    """
    if not vectors or not rules:
        return list(found)
    queries = encode_texts([rule_of(prompt).text for prompt in rules])
    shown = likelihood(queries @ np.asarray(vectors, np.float32).T).max(axis=1)
    return [
        _shown(float(sure), at) if sure >= LEAST_LIKELIHOOD and sure > matched.confidence else matched
        for matched, sure in zip(found, shown, strict=True)
    ]


def _shown(confidence: float, at: datetime) -> Matched:
    return Matched(round(confidence, 3), f"The picture at {at:%H:%M:%S} UTC seems to show it.")
