"""A multipart form, however it is cut, and whatever it tries."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privox_dht import limits
from privox_dht.errors import RequestRejected
from privox_dht.http.multipart import Form, boundary_of

# A busy machine is no reason to fail.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

BOUNDARY = b"XyZ"


def part(name: str, value: bytes, *, more: str = "", filename: str = "") -> bytes:
    file = f'; filename="{filename}"' if filename else ""
    head = f'Content-Disposition: form-data; name="{name}"{file}\r\n{more}\r\n'
    return b"--" + BOUNDARY + b"\r\n" + head.encode() + value + b"\r\n"


def whole(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def read(body: bytes, size: int = 0, **options: int) -> tuple[list[tuple[str, str]], bytes]:
    form = Form(BOUNDARY, **options)  # type: ignore[arg-type]
    size = size or len(body)
    file = b"".join(
        piece for at in range(0, len(body), size) for piece in form.feed(body[at : at + size])
    )
    return form.finish(), file


def refused(body: bytes, **options: int) -> RequestRejected:
    with pytest.raises(RequestRejected) as caught:
        read(body, **options)
    return caught.value


USUAL = whole(
    part("model", b"whisper-1"),
    part("file", b"RIFF\r\n--Xy\r\n\x00\xff--XyZ", filename='a"; name="model'),
    part("prompt", "Grüße".encode(), more="Content-Type: text/plain; charset=utf-8\r\n"),
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100_000])
def test_a_form_reads_the_same_however_it_is_cut(size: int) -> None:
    fields, file = read(USUAL, size)
    assert fields == [("model", "whisper-1"), ("prompt", "Grüße")]
    assert file == b"RIFF\r\n--Xy\r\n\x00\xff--XyZ"


@UNHURRIED
@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_pass_through_the_file_part_unchanged(content: bytes, size: int) -> None:
    if b"\r\n--" + BOUNDARY not in content:
        assert read(whole(part("file", content)), size) == ([], content)


@UNHURRIED
@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_but_refused(body: bytes) -> None:
    try:
        read(body, 13)
    except RequestRejected:
        pass


def test_mutations_of_a_good_form_raise_nothing_but_refused() -> None:
    rng = random.Random(1)
    survived = 0
    for _ in range(2000):
        body = bytearray(USUAL)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(body))
            body[at : at + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
        try:
            read(bytes(body), rng.randint(1, 40))
            survived += 1
        except RequestRejected as exc:
            assert 400 <= exc.status < 500
    assert 0 < survived < 2000


def test_an_empty_file_and_an_empty_field_are_parts_like_others() -> None:
    form = Form(BOUNDARY)
    assert form.feed(whole(part("file", b""), part("prompt", b""))) == []
    assert form.finish() == [("prompt", "")]
    assert form.file


def test_a_file_name_with_quotes_in_it_does_not_rename_its_part() -> None:
    body = whole(part("model", b"small"), part("file", b"RIFF", filename='a"; name="model'))
    assert read(body) == ([("model", "small")], b"RIFF")


def test_padding_after_a_boundary_and_a_preamble_are_allowed() -> None:
    body = b"preamble\r\n" + whole(part("a", b"1")).replace(b"--XyZ\r\n", b"--XyZ \t\r\n")
    assert read(body, 1)[0] == [("a", "1")]


def test_what_comes_after_the_last_boundary_is_ignored() -> None:
    assert read(USUAL + b"epilogue" * 100, 5)[1].startswith(b"RIFF")


def test_names_may_be_bare_or_quoted_with_escapes() -> None:
    body = whole(part("x", b"1"), part("y", b"2")).replace(b'name="x"', b"name=x")
    body = body.replace(b'name="y"', rb'name="a\"b"')
    assert read(body)[0] == [("x", "1"), ('a"b', "2")]


@pytest.mark.parametrize("cut", range(1, len(USUAL) - 4))
def test_a_form_that_ends_early_is_refused(cut: int) -> None:
    assert refused(USUAL[:cut]).status == 400


def test_one_part_more_than_allowed_is_refused() -> None:
    parts = [part(f"f{n}", b"x") for n in range(limits.MAX_FIELDS)]
    assert len(read(whole(*parts))[0]) == limits.MAX_FIELDS
    assert refused(whole(*parts, part("one more", b""))).code == "too_many_fields"


def test_one_byte_more_than_a_field_may_have_is_refused_by_name() -> None:
    assert read(whole(part("prompt", b"x" * 100)), field=100)
    error = refused(whole(part("prompt", b"x" * 101)), field=100)
    assert (error.status, error.param) == (413, "prompt")


def test_a_field_is_refused_before_all_of_it_was_kept() -> None:
    form = Form(BOUNDARY, field=1000)
    form.feed(part("prompt", b"")[:-2])
    with pytest.raises(RequestRejected):
        for _ in range(1000):
            form.feed(b"x" * 100)


def test_headers_without_end_are_refused() -> None:
    assert refused(b"--XyZ\r\nContent-Disposition: " + b"x" * limits.MAX_PART_HEADERS * 2)


def test_a_body_without_any_boundary_is_refused_soon() -> None:
    form = Form(BOUNDARY)
    with pytest.raises(RequestRejected, match="does not begin"):
        for _ in range(100):
            form.feed(b"x" * 1000)


@pytest.mark.parametrize(
    "body",
    [
        whole(part("file", b"1"), part("file", b"2")),
        whole(part("file", b"MTIz", more="Content-Transfer-Encoding: base64\r\n")),
        whole(part("", b"1")),
        whole(part("x", b"1").replace(b"form-data", b"attachment")),
        b"--XyZ\r\n\r\nno headers\r\n--XyZ--\r\n",
        b"--XyZoops\r\n" + whole(part("x", b"1")),
        whole(part("x", b"\xff\xfe")),
    ],
)
def test_what_is_no_such_form_is_refused(body: bytes) -> None:
    assert refused(body).status == 400


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data; charset=utf-8; boundary="a b"', b"a b"),
        ("multipart/form-data", None),
        ("multipart/form-data; boundary=", None),
        ("multipart/form-data; boundary=" + "x" * 71, None),
        ("multipart/mixed; boundary=abc", None),
        ("application/json", None),
        ("multipart/form-data; boundary=ü", None),
        ("", None),
    ],
)
def test_the_boundary_is_read_from_the_content_type(
    content_type: str, boundary: bytes | None
) -> None:
    assert boundary_of(content_type) == boundary


def test_a_form_says_where_it_is() -> None:
    form = Form(BOUNDARY)
    assert repr(form) == "<Form preamble, part 0>"
    form.feed(part("file", b"")[:-2])
    assert repr(form) == "<Form body, part 1>"
