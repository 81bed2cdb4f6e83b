"""Lend and borrow speech to text and text to speech over a mesh with no central server.

from privox_dht import Mesh

async with Mesh.join(["host:5678"]) as mesh:
    audio = await mesh.speak("Good day")
    text = await mesh.transcribe(audio)

Without `async`: `privox_dht.sync`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"
__all__ = ["Mesh", "SpeechOptions", "TranscriptionOptions", "__version__"]

if TYPE_CHECKING:
    from privox_dht.dispatch.job_options import SpeechOptions, TranscriptionOptions
    from privox_dht.mesh import Mesh


def __getattr__(name: str) -> Any:
    """Import on first use: lower layers can be imported without those above them."""
    if name == "Mesh":
        from privox_dht.mesh import Mesh

        return Mesh
    if name in __all__:
        from privox_dht.dispatch import job_options

        return getattr(job_options, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
