import re
from datetime import UTC, timedelta
from itertools import pairwise

from app.base.ids import new_id, new_secret, utc_now


def test_ids_carry_their_prefix_and_do_not_repeat() -> None:
    ids = [new_id("cap") for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(re.fullmatch(r"cap-[0-9a-hjkmnp-tv-z]{26}", one) for one in ids)


def test_ids_sort_by_the_millisecond_they_were_made_in() -> None:
    ids = [new_id("x") for _ in range(2000)]
    # The first ten digits hold the 48 bits of milliseconds and two random bits.
    assert all(earlier[:11] <= later[:11] for earlier, later in pairwise(ids))


def test_secrets_hold_192_random_bits() -> None:
    secrets = {new_secret("sk") for _ in range(100)}
    assert len(secrets) == 100
    assert all(re.fullmatch(r"sk-[\w-]{32}", one) for one in secrets)


def test_the_clock_is_aware_and_utc() -> None:
    assert utc_now().tzinfo is UTC
    assert utc_now().utcoffset() == timedelta(0)
