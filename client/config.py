"""The options of one run of `privox-client`, with their types."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from client.files import read_secret
from privox_dht.caption_layout import LINE_COUNT, LINE_WIDTH
from privox_dht.cli.options import state_folder
from privox_dht.dispatch.job_options import (
    DEFAULT_SPEECH,
    DEFAULT_TRANSCRIPTION,
    PRIVATE,
    JobOptions,
    SpeechOptions,
    TranscriptionOptions,
)
from privox_dht.identity import Identity
from privox_dht.mesh import Mesh


def _names(options: type[Any]) -> frozenset[str]:
    return frozenset(field.name for field in fields(options))


SHARED = _names(JobOptions)  # the options of both services


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """The options, each under its flag's name; see `privox-client --help`."""

    neighbours: tuple[str, ...] = ()
    identify: bool = False
    lan: bool = False
    network: str = "privox"
    secret_file: Path | None = None
    as_json: bool = False
    join_timeout: float = 5.0  # seconds
    state_dir: Path | None = None
    log_level: str = "error"
    service: str = ""  # or the subcommand's name
    limit: int = 100  # of `list`

    text: str | None = None
    text_file: str | None = None
    recordings: tuple[str, ...] = ()  # paths, "-" for stdin
    output: str | None = None
    play: bool = False
    format: str | None = None

    transcription: TranscriptionOptions = DEFAULT_TRANSCRIPTION  # of `stt`
    speech: SpeechOptions = DEFAULT_SPEECH  # of `tts`
    line_width: int = LINE_WIDTH
    line_count: int = LINE_COUNT
    fallback: str = ""
    fallback_token: str = ""
    fallback_token_file: Path | None = None

    @classmethod
    def from_flags(cls, flags: Mapping[str, Any]) -> Self:
        """The configuration from a command's flags; those of a job go into its options.

        Raises:
            TypeError: there is no such flag.
        """
        stt_only = _names(TranscriptionOptions) - SHARED
        tts_only = _names(SpeechOptions) - SHARED
        own = {name: value for name, value in flags.items() if name in _names(cls)}
        job = {name: value for name, value in flags.items() if name not in own}
        stt = {name: value for name, value in job.items() if name not in tts_only}
        tts = {name: value for name, value in job.items() if name not in stt_only}
        return cls(**own, transcription=TranscriptionOptions(**stt), speech=SpeechOptions(**tts))

    @property
    def state(self) -> Path:
        """The folder for the key and the known nodes."""
        return self.state_dir or state_folder("client")

    def open_mesh(self) -> AbstractAsyncContextManager[Mesh]:
        """The mesh that the options name, to be entered.

        Raises:
            ConfigError: the file of the fallback's token has none.
        """
        file = self.fallback_token_file
        return Mesh.join(
            self.neighbours,
            identity=Identity.load(self.state) if self.identify else None,
            lan=self.lan,
            network=self.network,
            secret_file=self.secret_file,
            state=self.state,
            timeout=self.join_timeout,
            fallback=self.fallback,
            fallback_token=read_secret(file) if file else self.fallback_token,
            hidden=self.transcription.via_farm or self.transcription.scatter == PRIVATE,
        )
