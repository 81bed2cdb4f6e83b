"""The server that is asked when no producer can do a job: its URL and its token."""

import pytest

from privox_dht.dispatch.fallback import endpoint_of
from privox_dht.errors import ConfigError


@pytest.mark.parametrize("url", ["http://192.0.2.1:8000", "http://host", "http://localhost.evil"])
def test_a_token_does_not_travel_in_the_clear(url: str) -> None:
    with pytest.raises(ConfigError, match="use https"):
        endpoint_of(url, "s3cret")
    assert endpoint_of(url, "").token is None
    assert endpoint_of(url.replace("http", "https", 1), "s3cret").token == "s3cret"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:1"])
def test_on_this_machine_it_may(url: str) -> None:
    assert endpoint_of(url, "s3cret").token == "s3cret"


@pytest.mark.parametrize("url", ["http://host:8000", "http://host:8000/", "http://host:8000/v1/"])
def test_the_fallback_may_be_given_with_and_without_the_v1_of_its_paths(url: str) -> None:
    assert endpoint_of(url, "").base == "http://host:8000"
