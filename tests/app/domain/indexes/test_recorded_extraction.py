from app.domain.indexes.extraction import DEFAULT_FRAMES, read_recorded_extraction


def test_who_names_nothing_gets_the_windows_of_a_stream() -> None:
    unnamed = read_recorded_extraction(None, None, 60.0)
    assert (unnamed.type, unnamed.config["time"], unnamed.config["frame_count"]) == (
        "time",
        10.0,
        DEFAULT_FRAMES,
    )


def test_the_sdks_defaults_are_one_picture_of_each_scene() -> None:
    assert read_recorded_extraction("time", {"time": 8}, 60.0).config["frame_count"] == 1
    assert read_recorded_extraction("shot", {}, 60.0).config["frame_count"] == 1
