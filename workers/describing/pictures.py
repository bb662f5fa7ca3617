"""What kind of picture a screen shows that has hardly any text on it; nothing, where that is not certain."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from workers.describing.screens import Description, Shown

# Vectors of texts, whose inner products with those of pictures are logits (app/engines/contract.py).
EncodeTexts = Callable[[Sequence[str]], NDArray[np.float32]]

# A screen with more words is a page, whatever its colours look like to a model of photos.
MOST_WORDS = 3
LEAST_CERTAINTY = 0.8  # of all kinds together, this one
LEAST_LOGIT = 6.0  # and more likely than not for itself: some kind is always the best

THINGS = tuple(
    """
    dog, cat, bird, horse, cow, sheep, fish, insect, butterfly, bear, elephant, monkey, snake, flower, tree,
    mushroom, fruit, vegetables, pizza, cake, cup of coffee, bottle of wine, car, truck, bus, train, bicycle,
    motorcycle, airplane, ship, sailing boat, rocket, castle, church, temple, bridge, house, tower, beach,
    mountain, volcano, waterfall, clock, guitar, piano, violin, camera, telephone, television, keyboard,
    chair, sofa, bed, lamp, book, shoe, hat, ball, umbrella, tent, balloon, traffic light, fountain, statue
    """.replace("\n", " ").split(",")
)
# What a screen without text may be instead: if one of these fits as well, nothing is said.
_NOTHING = ("a blank screen", "a dark screen", "a plain colour", "an abstract pattern", "a desktop wallpaper")


def is_textless(screen: Shown) -> bool:
    """Whether hardly anything is written on it, so that it may be a picture."""
    return sum(len(line.text.split()) for line in screen.lines) <= MOST_WORDS


def kind_of_picture(vector: Sequence[float], encode_texts: EncodeTexts) -> str | None:
    """`a cat` where the model is certain that it shows one; else None. Raises what `encode_texts` raises."""
    names = [_with_article(thing.strip()) for thing in THINGS]
    logits = _kinds(encode_texts) @ np.asarray(vector, np.float32)
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    best = int(shares.argmax())
    certain = shares[best] >= LEAST_CERTAINTY and logits[best] >= LEAST_LOGIT
    return names[best] if certain and best < len(names) else None


def with_picture(described: Description, kind: str | None, frame_ids: Sequence[str]) -> Description:
    """Say what kind of picture is shown; `frame_ids` are those with hardly any text."""
    if not frame_ids:
        return described
    details = described.details | {"picture": kind, "picture_frame_ids": list(frame_ids)}
    text = f"{described.text} It looks like a picture of {kind}." if kind else described.text
    return Description(text, details)


@lru_cache(4)
def _kinds(encode_texts: EncodeTexts) -> NDArray[np.float32]:
    names = [_with_article(thing.strip()) for thing in THINGS]
    # In two ways of saying it together, so that no chance of one wording makes it certain.
    plain, photos = encode_texts(names), encode_texts([f"a photo of {name}" for name in names])
    return np.concatenate([(plain + photos) / 2, encode_texts(_NOTHING)])


def _with_article(thing: str) -> str:
    if thing in ("fruit", "vegetables"):
        return thing
    return f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}"
