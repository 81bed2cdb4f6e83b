"""Audio files: decodes those of clients, encodes ours.

    decode       any audio file -> mono float32 samples at an engine's rate, within limits
    Encoder      16-bit mono PCM, in pieces -> a file in one of speech.AUDIO_FORMATS, as a stream
    Resampler    16-bit mono PCM, in pieces -> the same at another rate
    wav          16-bit mono PCM -> a complete WAV file
    patch_sizes  fills in the sizes that are missing in the header of a streamed WAV file

WAV and PCM are written with the standard library. All else needs PyAV and numpy, which come with
the engines (`pip install 'privox-dht[audio]'`) and are imported at the first call.
"""

from privox_dht.audio.decoding import decode
from privox_dht.audio.encoding import CONTENT_TYPES, Encoder
from privox_dht.audio.resampling import Resampler
from privox_dht.audio.wav_header import patch_sizes, wav

__all__ = ["CONTENT_TYPES", "Encoder", "Resampler", "decode", "patch_sizes", "wav"]
