"""How many words live transcription gets wrong, beside the offline engine on the same sound.

Real read speech with its reference text. Live: the sound goes through Opus, is cut at its pauses as ingest
cuts it, each utterance by itself to the engine, its sound in 16 bits as it is stored. Offline: the whole
file at once, as the engine's library takes it, with no cut and no codec.

    python -m bench.quality_speech [--librivox FOLDER] [--goal]

FOLDER is `usr/share/pocketsphinx/test/data/librivox` of Debian's pocketsphinx-testdata, for more of it.
"""

import argparse
import re
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.base.settings import Settings
from app.media.opus import OpusDecoder
from app.media.pcm import SAMPLE_RATE_HZ, UtteranceCutter, decode_audio_file, decode_speech, encode_speech
from tests.fixtures.media import OPUS_RATE_HZ, opus_packets, speech_file
from tests.fixtures.spoken_words import BECKETT, TWO_CITIES, word_error_rate
from workers.engines.contract import SpeechEngine
from workers.engines.registry import open_speech_engine

GOAL_POINTS = 0.01
PAUSE_SECONDS = 2.0  # of silence after each file, which ends its last utterance
_LINE = re.compile(r"<s>(?P<text>.*)</s>\s*\((?P<name>[^)]+)\)")
Sound = NDArray[np.float32]


def live(engine: SpeechEngine, samples: Sound) -> str:
    """What comes of sound that is published, cut and stored."""
    decoder, cutter, ended = OpusDecoder(), UtteranceCutter(), []
    quiet = np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE_HZ), np.float32)
    whole = np.concatenate([samples, quiet])
    times = np.arange(len(whole) * OPUS_RATE_HZ // SAMPLE_RATE_HZ) * SAMPLE_RATE_HZ / OPUS_RATE_HZ
    finer = np.interp(times, np.arange(len(whole)), whole).astype(np.float32)
    for packet in opus_packets(finer):
        ended += cutter.feed(decoder.decode(packet.data), packet.captured_at_us)
    ended += cutter.flush()
    return " ".join(engine.transcribe(decode_speech(encode_speech(one.samples))).text for one in ended)


def material(librivox: Path | None) -> dict[str, tuple[Path, str]]:
    """Files, and what is said in them, by name."""
    found = {
        "two_cities.wav": (speech_file("two_cities.wav"), TWO_CITIES),
        "beckett.wav": (speech_file("beckett.wav"), BECKETT),
    }
    if librivox is not None:
        for said in _LINE.finditer((librivox / "transcription").read_text()):
            found[said["name"]] = (librivox / f"{said['name']}.wav", said["text"])
    return found


def measure(librivox: Path | None) -> bool:
    """Print the word error rates; whether live is within a point of offline over all words."""
    engine = open_speech_engine(Settings())
    wrong, total = {"live": 0.0, "offline": 0.0}, 0
    for name, (path, reference) in material(librivox).items():
        words, samples = len(reference.split()), np.concatenate(list(decode_audio_file(path)))
        rates = {
            "live": word_error_rate(reference, live(engine, samples)),
            "offline": word_error_rate(reference, engine.transcribe(samples).text),
        }
        print(f"{name}: {words} words, wrong live {rates['live']:.1%}, offline {rates['offline']:.1%}")
        for how, rate in rates.items():
            wrong[how] += rate * words
        total += words
    difference = (wrong["live"] - wrong["offline"]) / total
    print(f"all {total} words: live {wrong['live'] / total:.1%}, offline {wrong['offline'] / total:.1%}")
    print(f"live within {GOAL_POINTS:.0%} of offline: {'met' if difference <= GOAL_POINTS else 'missed'}")
    return difference <= GOAL_POINTS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--librivox", type=Path)
    parser.add_argument("--goal", action="store_true", help="exit with 1 where the goal is missed")
    wanted = parser.parse_args()
    return 1 if not measure(wanted.librivox) and wanted.goal else 0


if __name__ == "__main__":
    sys.exit(main())
