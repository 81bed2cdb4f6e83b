"""The options for lenders: when, and how much."""

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from nodes.lending import LendingTerms
from nodes.lending_hours import parse_hours
from privox_dht import units
from privox_dht.cli.options import combine, in_section, list_option
from privox_dht.errors import ConfigError
from privox_dht.identity import public_of

T = TypeVar("T")
_CORES = re.compile(r"(?P<count>[1-9][0-9]{0,3})|(?P<share>0?\.[0-9]+)|(?P<percent>[0-9]{1,3})%")


def parse_with(read: Callable[[str], T]) -> Callable[..., T | None]:
    """Click callback that parses a value by a function, which raises ValueError if it cannot."""

    def callback(context: click.Context, parameter: click.Parameter, value: str | None) -> T | None:
        try:
            return None if value is None else read(value)
        except ValueError as exc:
            raise click.BadParameter(str(exc)) from exc

    return callback


def cores_in(text: str) -> int | float:
    """A number of cores as an int, a share of them as a float.

    Raises:
        ValueError: it is neither.
    """
    written = _CORES.fullmatch(text.strip())
    if written is not None and written["count"]:
        return int(written["count"])
    share = 0.0
    if written is not None:
        share = float(written["share"]) if written["share"] else int(written["percent"]) / 100
    if not 0 < share <= 1:
        raise ValueError(f"{text!r} is neither a number of cores nor a share: 2, 0.5, 50%")
    return share


memory_size = parse_with(units.bytes_in)

terms_options = in_section(
    "When and how much it lends",
    combine(
        list_option(
            "--lend-hours",
            metavar="HH:MM-HH:MM,...",
            help="Lend within these hours only, by this machine's clock: 22:00-07:00, mon-fri"
            " 18:00-24:00. [always]",
        ),
        click.option(
            "--cores",
            callback=parse_with(cores_in),
            metavar="NUMBER|SHARE",
            help="Use so many cores, or that share of them: 2, 0.5, 50%. [all]",
        ),
        click.option(
            "--give-way",
            is_flag=True,
            help="Lend fewer slots, or none, while other programs keep this machine busy.",
        ),
        click.option(
            "--on-battery", is_flag=True, help="Lend while the machine runs on its battery, too."
        ),
        click.option(
            "--transfer",
            callback=memory_size,
            metavar="SIZE",
            help="Bytes of jobs in a calendar month, in and out together, such as 50GB. [any]",
        ),
        click.option(
            "--address-seconds",
            type=click.IntRange(min=1),
            metavar="SECONDS",
            help="Seconds of sound that one address may bring in an hour. [any]",
        ),
        list_option(
            "--allow-peer",
            metavar="PEER,...",
            help="Lend to these alone, by their peer ids (privox-client identity): they say who"
            " they are by --identify. [all]",
        ),
        list_option(
            "--deny-peer",
            metavar="PEER,...",
            help="Do not lend to these, and park at no farm of theirs.",
        ),
    ),
)
TERM_OPTIONS = ("lend_hours", "cores", "give_way", "on_battery", "transfer", "address_seconds",
                "allow_peer", "deny_peer")  # fmt: skip


def terms_from(options: dict[str, Any]) -> LendingTerms:
    """The owner's terms.

    Raises:
        ConfigError: one of the options is not valid; the message says which.
    """
    return LendingTerms(
        hours=parse_hours(options["lend_hours"]),
        cores=options["cores"],
        give_way=options["give_way"],
        on_battery=options["on_battery"],
        transfer=options["transfer"],
        address_seconds=options["address_seconds"],
        allow_peers=_peers("--allow-peer", options["allow_peer"]),
        deny_peers=_peers("--deny-peer", options["deny_peer"]),
    )


def _peers(flag: str, texts: Iterable[str]) -> frozenset[str]:
    """Whole peer ids: for a short prefix, another key is soon found that has it too."""
    for text in texts:
        try:
            public_of(text)
        except ValueError as exc:
            raise ConfigError(
                f"{flag} {text[:60]}: give a whole peer id, 52 characters long"
            ) from exc
    return frozenset(texts)
