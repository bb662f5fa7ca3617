from app.ingest.whip.keyframes import KeyframeRequests


def test_requests_go_out_at_doubling_distances() -> None:
    requests = KeyframeRequests()
    requests.ask(1.0)
    sent = [now / 10 for now in range(0, 120) if requests.take(now / 10)]
    assert sent == [1.0, 1.3, 1.9, 3.1, 5.5, 7.9, 10.3]


def test_asking_sooner_brings_a_request_forward_but_asking_again_does_not() -> None:
    requests = KeyframeRequests()
    requests.ask(5.0)
    requests.ask(2.0)
    assert requests.due == 2.0
    assert requests.take(2.0)
    requests.ask(2.0)
    assert not requests.take(2.1)


def test_a_key_frame_settles_it() -> None:
    requests = KeyframeRequests()
    requests.ask(1.0)
    requests.settle()
    assert requests.due is None
    assert not requests.take(9.0)
