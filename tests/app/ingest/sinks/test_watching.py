from app.ingest.sinks.watching import LONGEST_SCENE_US, Stretch, Watch, watch_of

SECOND = 1_000_000
T0 = 1_760_000_000 * SECOND


def looks(
    watch: Watch, shown: dict[int, tuple[str, float]], seconds: int, *, step_ms: int = 200
) -> list[Stretch]:
    """Look whenever it is due; `shown` gives the picture and its changed share from a second on."""
    ended = []
    frame, share = "", 0.0
    for now_ms in range(0, seconds * 1000 + 1, step_ms):
        now_us = T0 + now_ms * 1000
        if now_ms % 1000 == 0 and now_ms // 1000 in shown:
            frame, share = shown[now_ms // 1000]
        if watch.next_look_us <= now_us:
            stretch = watch.look(frame, share, now_us)
            share = 0.0
            if stretch is not None:
                ended.append(stretch)
    return ended


def test_windows_follow_each_other_without_a_hole() -> None:
    watch = watch_of({"type": "time", "config": {"time": 10, "frame_count": 5}})
    assert watch.look_us == 2 * SECOND
    shown = {0: ("a", 1.0), 3: ("b", 0.2), 5: ("a", 0.2), 14: ("c", 0.1)}
    assert looks(watch, shown, 20) == [
        Stretch(T0, T0 + 10 * SECOND, ("a", "b", "a")),
        Stretch(T0 + 10 * SECOND, T0 + 20 * SECOND, ("a", "c")),
    ]
    assert watch.end(T0 + 21 * SECOND) == Stretch(T0 + 20 * SECOND, T0 + 21 * SECOND, ("c",))


def test_a_still_screen_is_one_picture() -> None:
    watch = watch_of({"type": "time", "config": {"time": 2, "frame_count": 5}})
    assert [one.frame_ids for one in looks(watch, {0: ("a", 1.0)}, 6)] == [("a",)] * 3


def test_a_sharper_picture_stands_for_the_coarse_one_where_that_is_the_last() -> None:
    watch = watch_of({"type": "time", "config": {"time": 10, "frame_count": 5}})
    watch.replace("coarse", "sharp")
    watch.look("coarse", 1.0, T0)
    watch.replace("coarse", "sharp")
    watch.look("sharp", 0.0, T0 + 2 * SECOND)
    watch.look("other", 0.3, T0 + 4 * SECOND)
    watch.replace("sharp", "late")
    assert watch.end(T0 + 6 * SECOND) == Stretch(T0, T0 + 6 * SECOND, ("sharp", "other"))


def test_a_look_that_came_late_is_not_made_up_for() -> None:
    watch = Watch(look_us=SECOND, window_us=4 * SECOND, scene_share=None)
    assert watch.look("a", 1.0, T0) is None
    assert watch.look("b", 1.0, T0 + 9 * SECOND) == Stretch(T0, T0 + 9 * SECOND, ("a",))
    assert T0 + 9 * SECOND < watch.next_look_us <= T0 + 10 * SECOND


def test_scenes_end_where_the_screen_changes_or_after_a_minute() -> None:
    watch = watch_of({"type": "shot", "config": {"threshold": 20, "frame_count": 1}})
    shown = {0: ("a", 1.0), 7: ("b", 0.1), 12: ("c", 0.6)}
    ended = looks(watch, shown, 80)
    assert ended[0] == Stretch(T0, T0 + 12 * SECOND, ("a", "b"))
    assert ended[1] == Stretch(T0 + 12 * SECOND, T0 + 12 * SECOND + LONGEST_SCENE_US, ("c",))
    assert len(ended) == 2


def test_a_key_frame_is_wanted_just_before_a_look_that_is_worth_it() -> None:
    watch = watch_of({"type": "time", "config": {"time": 10, "frame_count": 5}})
    watch.look("a", 1.0, T0)
    assert not watch.wants_keyframe(T0 + SECOND, SECOND // 2)
    assert watch.wants_keyframe(T0 + 1_600_000, SECOND // 2)
    close = watch_of({"type": "time", "config": {"time": 2, "frame_count": 5}})
    close.look("a", 1.0, T0)
    assert not close.wants_keyframe(T0 + 300_000, SECOND // 2)


def test_what_saw_nothing_has_no_window() -> None:
    watch = Watch(look_us=SECOND, window_us=4 * SECOND, scene_share=None)
    assert watch.end(T0) is None
    watch.look("a", 1.0, T0)
    assert watch.end(T0) is None
