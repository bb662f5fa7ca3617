"""How many words live transcription gets wrong, beside the offline engine on the same sound.

Real read speech with its reference text. Live: the sound goes through Opus, is cut at its pauses as ingest
cuts it, each utterance by itself to the engine, its sound in 16 bits as it is stored. Offline: the whole
file at once, as the engine's library takes it, with no cut and no codec.

    python -m bench.quality_speech [--goal]
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.base.settings import Settings
from app.media.opus import OpusDecoder
from app.media.pcm import SAMPLE_RATE_HZ, UtteranceCutter, decode_speech, encode_speech
from tests.fixtures.media import OPUS_RATE_HZ, opus_packets, read_speech
from tests.fixtures.spoken_words import BECKETT, TWO_CITIES, word_error_rate
from workers.engines.contract import SpeechEngine
from workers.engines.registry import open_speech_engine

GOAL_POINTS = 0.01
MATERIAL = {"two_cities.wav": TWO_CITIES, "beckett.wav": BECKETT}


def live(engine: SpeechEngine, name: str) -> str:
    decoder, cutter, ended = OpusDecoder(), UtteranceCutter(), []
    for packet in opus_packets(read_speech(name, rate_hz=OPUS_RATE_HZ)):
        ended += cutter.feed(decoder.decode(packet.data), packet.captured_at_us)
    ended += cutter.flush()
    return " ".join(engine.transcribe(decode_speech(encode_speech(one.samples))).text for one in ended)


def offline(engine: SpeechEngine, samples: NDArray[np.float32]) -> str:
    return engine.transcribe(samples).text


def measure(names: Sequence[str]) -> bool:
    """Print the word error rates; whether live is within a point of offline over all words."""
    engine = open_speech_engine(Settings())
    wrong = {"live": 0.0, "offline": 0.0}
    total = 0
    for name in names:
        reference = MATERIAL[name]
        words = len(reference.split())
        rates = {
            "live": word_error_rate(reference, live(engine, name)),
            "offline": word_error_rate(reference, offline(engine, read_speech(name, rate_hz=SAMPLE_RATE_HZ))),
        }
        print(f"{name}: word error rate live {rates['live']:.1%}, offline {rates['offline']:.1%}")
        for how, rate in rates.items():
            wrong[how] += rate * words
        total += words
    difference = (wrong["live"] - wrong["offline"]) / total
    print(f"all {total} words: live {wrong['live'] / total:.1%}, offline {wrong['offline'] / total:.1%}")
    print(f"live within {GOAL_POINTS:.0%} of offline: {'held' if difference <= GOAL_POINTS else 'missed'}")
    return difference <= GOAL_POINTS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--goal", action="store_true", help="exit with 1 where the goal is missed")
    wanted = parser.parse_args()
    held = measure(list(MATERIAL))
    return 1 if wanted.goal and not held else 0


if __name__ == "__main__":
    sys.exit(main())
