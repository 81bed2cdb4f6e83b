"""`privox-node models`: what was downloaded for the engines of this machine.

privox-node models list                                 what there is, and how large it is
privox-node models fetch small en_US-lessac-medium      before the node needs it
privox-node models remove small
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from nodes import model_store
from nodes.model_store import StoredModel
from privox_dht import units
from privox_dht.cli.options import ENVIRONMENT, combine, config_option, merge_parent_options
from privox_dht.cli.output import sanitize

SETTINGS = {"auto_envvar_prefix": ENVIRONMENT}
cache_option = click.option(
    "--model-cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where models are downloaded to.",
)
common_options = combine(
    cache_option,
    click.option("--json", "as_json", is_flag=True, envvar=f"{ENVIRONMENT}_JSON",
                 help="One JSON object a line."),
    config_option,
)  # fmt: skip


def model_commands(guarded: Callable[[Callable[[], Iterable[str]]], None]) -> click.Group:
    """The group of commands; `guarded` runs one, prints its lines, and turns errors into exit
    codes."""

    @click.group(context_settings=SETTINGS)
    @cache_option
    @config_option
    @click.pass_context
    def models(context: click.Context, /, **given: Any) -> None:
        """The models and voices that were downloaded: list, fetch, remove.

        A name is one that --services takes: small, better, owner/name, en_US-lessac-medium, or with
        its engine before it, faster-whisper:small. Fetching asks the Hugging Face hub (or what
        HF_ENDPOINT names). A node does it by itself when it starts.
        """  # fmt: skip
        context.obj = merge_parent_options(context, given)

    @models.command("list", context_settings=SETTINGS)
    @common_options
    @click.pass_context
    def list_models(context: click.Context, /, as_json: bool, **given: Any) -> None:
        """List the downloaded models and voices."""
        cache = merge_parent_options(context, given)["model_cache"]
        guarded(lambda: _told(model_store.stored(cache), as_json))

    @models.command(context_settings=SETTINGS)
    @click.argument("names", nargs=-1, required=True)
    @common_options
    @click.pass_context
    def fetch(context: click.Context, /, names: Sequence[str], as_json: bool, **given: Any) -> None:
        """Download models that are not here yet."""
        cache = merge_parent_options(context, given)["model_cache"]
        guarded(lambda: _told((model_store.fetch(name, cache) for name in names), as_json))

    @models.command(context_settings=SETTINGS)
    @click.argument("names", nargs=-1, required=True)
    @common_options
    @click.pass_context
    def remove(
        context: click.Context, /, names: Sequence[str], as_json: bool, **given: Any
    ) -> None:
        """Delete models from this machine; a node that has one loaded keeps it until it ends."""
        cache = merge_parent_options(context, given)["model_cache"]
        guarded(lambda: _told((model_store.remove(name, cache) for name in names), as_json))

    return models


def _told(models: Iterable[StoredModel], as_json: bool) -> Iterable[str]:
    """A line for each."""
    for one in models:
        if as_json:
            yield json.dumps(asdict(one))
        else:
            yield sanitize(f"{one!s:<42} {units.size(one.size):>10}  {one.folder}")
