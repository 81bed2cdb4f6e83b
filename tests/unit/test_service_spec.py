import pytest

from nodes.service_spec import ServiceSpec, parse_service, parse_services
from privox_dht.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("stt/cpu", ServiceSpec("stt", "cpu")),
        ("asr/cpu", ServiceSpec("stt", "cpu")),
        (" tts/cpu/espeak-ng ", ServiceSpec("tts", "cpu", "espeak-ng")),
        ("stt/gpu/faster-whisper:small.en", ServiceSpec("stt", "gpu", "faster-whisper:small.en")),
        ("tts/cpu/http://192.0.2.7:8000", ServiceSpec("tts", "cpu", "http://192.0.2.7:8000")),
        ("stt/cpu/192.0.2.7:8888", ServiceSpec("stt", "cpu", "192.0.2.7:8888")),
    ],
)
def test_a_service_is_service_backend_what(text: str, spec: ServiceSpec) -> None:
    assert parse_service(text) == spec
    assert parse_service(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "named"),
    [("", "no service"), ("sing/cpu", "'sing'"), ("stt", "backend"), ("stt/tpu", "cpu or gpu")],
)
def test_what_is_wrong_is_named(text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        parse_service(text)


def test_a_service_named_twice_is_served_once() -> None:
    assert parse_services(["stt/cpu", "asr/cpu", "tts/cpu"]) == [
        ServiceSpec("stt", "cpu"),
        ServiceSpec("tts", "cpu"),
    ]


def test_the_key_of_a_server_elsewhere_is_not_shown() -> None:
    spec = parse_service("stt/cpu/https://s3cret@host/path@x")
    assert spec.engine == "https://s3cret@host/path@x"
    assert str(spec) == "stt/cpu/https://***@host/path@x"
    assert str(parse_service("stt/cpu/http://host/path@x")) == "stt/cpu/http://host/path@x"
    with pytest.raises(ConfigError, match=r"https://\*\*\*@host") as refused:
        parse_service("stt/cpuu/https://s3cret@host")
    assert "s3cret" not in str(refused.value)
