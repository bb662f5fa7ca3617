"""The one shape in which speech is handled: 16 kHz, mono, float32."""

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
Samples = NDArray[np.float32]
NO_SAMPLES: Samples = np.empty(0, np.float32)
