"""Sound files: strangers' ones in, ours out.

    decode    any sound file -> mono float32 samples at the rate an engine wants, within bounds
    Encoder   16-bit mono PCM, piece by piece -> a file in one of speech.AUDIO_FORMATS, as a stream
    Resampler 16-bit mono PCM, piece by piece -> the same at another rate
    wav       16-bit mono PCM -> a complete WAV file
    mend_wav  the lengths that a streamed WAV file left open, filled in afterwards

WAV and PCM are written with the standard library. Everything else needs PyAV and numpy, which
come with the engines (`pip install 'privox-dht[audio]'`) and are imported at the first call.
"""

from privox_dht.audio.decoding import decode
from privox_dht.audio.encoding import CONTENT_TYPES, Encoder
from privox_dht.audio.resampling import Resampler
from privox_dht.audio.wav_header import patch_sizes, wav

__all__ = ["CONTENT_TYPES", "Encoder", "Resampler", "decode", "patch_sizes", "wav"]
