"""What one run of `privox-client` was asked for: the options, with their types."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from client.files import read_secret
from privox_dht import limits
from privox_dht.caption_layout import LINE_COUNT, LINE_WIDTH
from privox_dht.cli.options import state_folder
from privox_dht.dispatch.job_options import AUTO, PIECES, PRIVATE, SHARE, JobKeywords
from privox_dht.identity import Identity
from privox_dht.mesh import Mesh


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """The options as they were given, each under its flag's name; see `privox-client --help`."""

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

    voice: str = ""
    language: str = ""
    model: str = ""
    speed: float = 1.0
    translate: bool = False
    line_width: int = LINE_WIDTH
    line_count: int = LINE_COUNT
    words: bool = False
    scatter: str = AUTO
    share: float = SHARE
    jobs: int = PIECES
    prompt: str = ""
    hotwords: str = ""
    temperature: float = 0.0

    backend: str = "any"
    timeout: float | None = None  # seconds
    wait: float = limits.WAIT  # seconds
    only: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()
    via_farm: bool = False
    fallback: str = ""
    fallback_token: str = ""
    fallback_token_file: Path | None = None

    @property
    def state(self) -> Path:
        """The folder of what is remembered for the next time."""
        return self.state_dir or state_folder("client")

    def open_mesh(self) -> AbstractAsyncContextManager[Mesh]:
        """The mesh that the options name, to be entered.

        Raises:
            ConfigError: the file of the fallback's token holds none.
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
            hidden=self.via_farm or self.scatter == PRIVATE,
        )

    def job_keywords(self) -> JobKeywords:
        """What every job is asked for, whichever its service."""
        return {
            "language": self.language,
            "model": self.model,
            "backend": self.backend,
            "only": self.only,
            "prefer": self.prefer,
            "avoid": self.avoid,
            "via_farm": self.via_farm,
            "wait": self.wait,
            "timeout": self.timeout,
            "jobs": self.jobs,
        }
