from typing import Any

import pytest

from app.base.errors import InvalidRequest
from app.domain.indexes.extraction import read_extraction

WINDOWS = {"time": 10.0, "frame_count": 5}


# Each row is what one call of one SDK sends (contract A7).
@pytest.mark.parametrize(
    ("extraction_type", "config", "kind", "read_type", "read_config"),
    [
        ("time", None, "visual", "time", WINDOWS),
        (None, None, "visual", "time", WINDOWS),
        ("time", {"time": 2, "frame_count": 5}, "visual", "time", {"time": 2, "frame_count": 5}),
        ("time", {"time": 3.5, "frame_count": None}, "visual", "time", {"time": 3.5, "frame_count": 5}),
        ("time_based", {"time": 10, "frame_count": 1}, "visual", "time", {"time": 10, "frame_count": 1}),
        ("shot", None, "visual", "shot", {"threshold": 20.0, "frame_count": 1}),
        ("shot_based", {"threshold": 40}, "visual", "shot", {"threshold": 40, "frame_count": 1}),
        ("transcript", None, "audio", "transcript", {"segmenter": "word", "segmentation_value": 10}),
        (
            "transcript",
            {"segmenter": "sentence", "segmentation_value": 3},
            "audio",
            "transcript",
            {"segmenter": "sentence", "segmentation_value": 3},
        ),
        (
            "transcript",
            {"segmenter": "time", "segmentation_value": 30},
            "audio",
            "transcript",
            {"segmenter": "time", "segmentation_value": 30},
        ),
    ],
)
def test_what_the_sdks_send(
    extraction_type: str | None,
    config: dict[str, Any] | None,
    kind: str,
    read_type: str,
    read_config: dict[str, Any],
) -> None:
    read = read_extraction(extraction_type, config)
    assert (read.kind, read.type, read.config) == (kind, read_type, read_config)


@pytest.mark.parametrize(
    ("extraction_type", "config", "field"),
    [
        ("frames", None, "extraction_type"),
        ("time", {"time": 0}, "extraction_config.time"),
        ("time", {"time": "10"}, "extraction_config.time"),
        ("time", {"time": True}, "extraction_config.time"),
        ("time", {"time": float("nan")}, "extraction_config.time"),
        ("time", {"frame_count": 0}, "extraction_config.frame_count"),
        ("time", {"frame_count": 61}, "extraction_config.frame_count"),
        ("shot", {"threshold": 0}, "extraction_config.threshold"),
        ("transcript", {"segmenter": "paragraph"}, "extraction_config.segmenter"),
        ("transcript", {"segmenter": ["word"]}, "extraction_config.segmenter"),
        ("transcript", {"segmentation_value": -1}, "extraction_config.segmentation_value"),
    ],
)
def test_what_is_refused(extraction_type: str, config: dict[str, Any] | None, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_extraction(extraction_type, config)
    assert refused.value.field == field
