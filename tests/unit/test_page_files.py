"""The files of the gateway's page: all they name is there, and nothing comes from elsewhere."""

import re

import pytest

from nodes.gateway.page import HEADERS, INDEX, KINDS, page_files
from privox_dht import limits

FILES = {name: content.decode() for name, content in page_files().items()}
HTML = FILES[INDEX]
SCRIPTS = [name for name in FILES if name.endswith(".js")]


def test_every_file_has_a_kind() -> None:
    assert {name.rpartition(".")[2] for name in FILES} == set(KINDS)


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_refers_to_is_of_this_page(name: str) -> None:
    text = FILES[name].replace("http://www.w3.org/2000/svg", "")
    assert "//" not in re.sub(r"(?m)(^|\s)//.*$|https?://\$", "", text), "another server's"
    for path in re.findall(r'"(/web/[^"]*)"', text):
        assert path.removeprefix("/web/") in FILES
    for module in re.findall(r'from "\./([^"]*)"', text):
        assert module in FILES


def test_the_policy_holds_nothing_inline_and_the_page_has_none() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy and "*" not in policy and "default-src 'none'" in policy
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=", HTML)
    for name in SCRIPTS:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\(", FILES[name]), name


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_a_script_looks_for_is_in_the_page(name: str) -> None:
    ids = set(re.findall(r'\sid="([^"]+)"', HTML))
    assert set(re.findall(r'byId\("([^"]+)"\)', FILES[name])) <= ids


def test_the_text_may_be_as_long_as_a_request_takes() -> None:
    assert f'maxlength="{limits.MAX_TEXT}"' in HTML
