"""Plays a WAV file by `sounddevice`, if there is no player program.

    python -m client.sound_library FILE

It is a program of its own, so that a signal ends it, whatever PortAudio is doing.
"""

import ctypes.util
import importlib.util
import sys
import wave

SAMPLE = 2  # bytes; our files are 16-bit
PIECE = 4_096  # frames handed over at a time: at most a quarter of a second


def is_available() -> bool:
    """Whether the package is installed, and PortAudio, which its Linux wheels do not contain."""
    if importlib.util.find_spec("sounddevice") is None:
        return False
    return sys.platform != "linux" or ctypes.util.find_library("portaudio") is not None


def play(path: str) -> None:
    """Play a whole file to its end.

    Raises:
        OSError, wave.Error, sounddevice.PortAudioError: it cannot be played.
    """
    import sounddevice

    if not sounddevice.query_devices():
        raise OSError("no sound device is found")
    with wave.open(path) as sound:
        if sound.getsampwidth() != SAMPLE:
            raise wave.Error(f"{8 * sound.getsampwidth()} bits a sample; only 16 are played")
        with sounddevice.RawOutputStream(
            samplerate=sound.getframerate(), channels=sound.getnchannels(), dtype="int16"
        ) as loudspeaker:
            while piece := sound.readframes(PIECE):
                loudspeaker.write(piece)


def main() -> int:
    try:
        play(sys.argv[1])
    except Exception as exc:  # the user sees the last line
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
