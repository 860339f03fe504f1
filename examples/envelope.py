"""Envelopes of a sound, and the picture of its waveform that audio editors draw.

The recording is a loop of ten seconds (see README.md beside this file); played sixteen times it
is a signal of 3.8 million samples.

Run: python examples/envelope.py [SOUND [PICTURE]]
"""

import sys
import time
import wave
from pathlib import Path

import numpy as np
from PIL import Image

import numpool

SOUND = Path(__file__).with_name("tabla.wav")


def read_wav(path):
    """Return the samples of a 16-bit mono WAV file, in -1 to 1, and their rate."""
    with wave.open(str(path)) as file:
        if (file.getsampwidth(), file.getnchannels()) != (2, 1):
            raise ValueError(f"{path}: 16-bit mono expected")
        frames = file.readframes(file.getnframes())
        return np.frombuffer(frames, "<i2").astype(np.float32) / 32768, file.getframerate()


def peak_envelope(signal, window):
    """Return the largest magnitude in the window around each sample."""
    return numpool.max_pool1d(np.abs(signal), window, stride=1, padding="same")


def rms_envelope(signal, window):
    """Return the root of the mean square in the window around each sample.

    The 2-norm of a window is the root of its sum of squares. To make that a mean, divide by the
    window's length; at the ends, where windows reach past the signal, it fades to silence.
    """
    norm = numpool.lp_pool1d(signal, window, stride=1, padding="same", p=2)
    return norm / np.float32(np.sqrt(window))


def waveform(signal, width, height):
    """Draw the range of values in each of up to `width` stretches of time, as an 8-bit picture."""
    stretch = -(-len(signal) // width)
    high = numpool.max_pool1d(signal, stretch, ceil_mode=True)
    low = -numpool.max_pool1d(-signal, stretch, ceil_mode=True)
    loudest = max(high.max(), -low.min(), np.float32(1e-9))
    level = np.linspace(loudest, -loudest, height)[:, None]
    half_a_pixel = loudest / height
    inside = (low - half_a_pixel <= level) & (level <= high + half_a_pixel)
    return np.where(inside, np.uint8(40), np.uint8(255))


def main(sound=SOUND, out=None, repeats=16):
    """Return the signal and its peak and RMS envelopes; draw one repeat to `out` if given."""
    recording, rate = read_wav(sound)
    signal = np.tile(recording, repeats)
    window = rate // 50  # 20 ms
    peak_envelope(recording, window), rms_envelope(recording, window)  # compile the kernels
    start = time.perf_counter()
    peak = peak_envelope(signal, window)
    rms = rms_envelope(signal, window)
    seconds = time.perf_counter() - start
    print(f"{len(signal)} samples, windows of {window}: two envelopes in {seconds * 1e3:.0f} ms")
    if out is not None:
        Image.fromarray(waveform(recording, 1200, 240)).save(out)
    return signal, peak, rms


if __name__ == "__main__":
    main(*sys.argv[1:])
