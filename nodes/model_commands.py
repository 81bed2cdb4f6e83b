"""`privox-node models`: what was downloaded for the engines of this machine.

privox-node models list                                 what there is, and how large it is
privox-node models fetch small en_US-lessac-medium      before the node needs it
privox-node models remove small
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from nodes import model_store
from nodes.model_store import StoredModel
from nodes.options import cache_option
from nodes.program import SETTINGS, print_lines
from privox_dht import units
from privox_dht.cli.options import ENVIRONMENT, combine, config_option, merge_parent_options
from privox_dht.cli.output import sanitize

common_options = combine(
    cache_option,
    click.option("--json", "as_json", is_flag=True, envvar=f"{ENVIRONMENT}_JSON",
                 help="One JSON object a line."),
    config_option,
)  # fmt: skip


@click.group(context_settings=SETTINGS)
@cache_option
@config_option
@click.pass_context
def models(context: click.Context, /, **given: Any) -> None:
    """The models and voices that were downloaded: list, fetch, remove.

    A name is one that --services takes: small, better, owner/name, en_US-lessac-medium, or with
    its engine before it, faster-whisper:small. Fetching asks the Hugging Face hub (or what
    HF_ENDPOINT names). A node does it by itself when it starts.
    """
    context.obj = merge_parent_options(context, given)


@models.command("list", context_settings=SETTINGS)
@common_options
@click.pass_context
def list_models(context: click.Context, /, as_json: bool, **given: Any) -> None:
    """List the downloaded models and voices."""
    _print_models(model_store.stored(_cache(context, given)), as_json)


@models.command(context_settings=SETTINGS)
@click.argument("names", nargs=-1, required=True)
@common_options
@click.pass_context
def fetch(context: click.Context, /, names: Sequence[str], as_json: bool, **given: Any) -> None:
    """Download models that are not here yet."""
    cache = _cache(context, given)
    _print_models((model_store.fetch(name, cache) for name in names), as_json)


@models.command(context_settings=SETTINGS)
@click.argument("names", nargs=-1, required=True)
@common_options
@click.pass_context
def remove(context: click.Context, /, names: Sequence[str], as_json: bool, **given: Any) -> None:
    """Delete models from this machine; a node that has one loaded keeps it until it ends."""
    cache = _cache(context, given)
    _print_models((model_store.remove(name, cache) for name in names), as_json)


def _cache(context: click.Context, given: dict[str, Any]) -> Path | None:
    cache: Path | None = merge_parent_options(context, given)["model_cache"]
    return cache


def _print_models(models: Iterable[StoredModel], as_json: bool) -> None:
    """Print a line for each."""
    print_lines(
        json.dumps(asdict(one)) if as_json
        else sanitize(f"{one!s:<42} {units.size(one.size):>10}  {one.folder}")
        for one in models
    )  # fmt: skip
