"""The gateway's page in real headless Chromium, with a microphone that is fed from a file."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pytest
from api_kit import TONE, Counting, clip
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from gateway_kit import GatewayMesh

from nodes.codecs import Codecs
from nodes.engines import make_engines
from nodes.gateway import access
from nodes.gateway.certificate import FILE
from nodes.gateway.config import GatewayConfig, HttpsConfig
from nodes.gateway.key_command import add_key
from nodes.producer import Producer
from privox_dht.audio import wav
from privox_dht.errors import EngineFailed
from privox_dht.speech import STT, TTS, AudioInfo, Segment, SpeechRequest, TranscriptionRequest

if TYPE_CHECKING:
    from browser_kit import Screen

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]
Opened = Callable[..., AbstractContextManager["Screen"]]
PUNGENT = "The quick brown fox jumps over the lazy dog."


class Overheard(Counting):
    """A provider that keeps what it heard last."""

    def __init__(self, slots: int = 4) -> None:
        super().__init__(slots)
        self.said: list[str] = []

    async def transcribe(
        self, upload: BinaryIO, request: TranscriptionRequest
    ) -> AsyncGenerator[AudioInfo | Segment]:
        self.said = []
        async for item in super().transcribe(upload, request):
            if isinstance(item, Segment):
                self.said.append(item.text)
            yield item


class OverheardProducer(Producer):
    """The same, with real engines."""

    slots = 1

    async def transcribe(
        self, upload: BinaryIO, request: TranscriptionRequest
    ) -> AsyncGenerator[AudioInfo | Segment]:
        self.said = []
        async for item in super().transcribe(upload, request):
            if isinstance(item, Segment):
                self.said.append(item.text.strip())
            yield item


@pytest.fixture
def browser(browser_tools: Path, tmp_path: Path) -> Opened:
    """Opens a browser whose microphone hears `spoken.wav` of the test's folder."""
    from browser_kit import ALLOWED, HEARD, chromium

    spoken = tmp_path / "spoken.wav"
    spoken.write_bytes(clip(60.0))

    def opened(*flags: str, asks: bool = False) -> AbstractContextManager[Screen]:
        heard = f"--use-file-for-fake-audio-capture={spoken}"
        flags = (HEARD, heard, *(() if asks else (ALLOWED,)), *flags)
        return chromium(tmp_path / "profile", flags)

    return opened


@pytest.fixture
def axe(browser_tools: Path) -> Path:
    return browser_tools / "node_modules" / "axe-core" / "axe.min.js"


def check(page: Screen, axe: Path) -> None:
    """The page, as it is, has no fault in either theme, and no width of a phone is too small."""
    for theme in ("light", "dark"):
        page.media(prefers_color_scheme=theme, prefers_reduced_motion="reduce")
        assert page.faults(axe) == [], theme
    page.size(360, 740)
    assert page.script("return document.documentElement.scrollWidth") <= 360
    assert page.faults(axe) == [], "on a phone"
    page.size(1280, 900)


async def test_the_words_on_the_screen_are_the_engines(
    browser: Opened, axe: Path, tmp_path: Path
) -> None:
    engine = Overheard()

    def held_button(page: Screen) -> None:
        page.hold("#talk", "1 s")
        page.until("#hear-status", "Done.")
        assert page.text("#words") == " ".join(engine.said)
        assert engine.said[0] == "16000 samples", "of a microphone at another rate"
        page.until("#jobs", "Speech to text", "done")

    def space_bar(page: Screen) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        engine.said = []
        ActionChains(page.driver).key_down(" ").perform()
        page.until("#talk", "Let go to send", "2 s")
        ActionChains(page.driver).key_up(" ").perform()
        page.until("#hear-status", "Done.")
        assert page.text("#words") == " ".join(engine.said)
        assert engine.said[:2] == ["16000 samples"] * 2

    def two_clicks_of_a_screen_reader(page: Screen) -> None:
        page.script("document.getElementById('talk').click()")
        page.until("#talk", "Tap to send", "1 s")
        page.script("document.getElementById('talk').click()")
        page.until("#hear-status", "Done.")

    def story(url: str) -> None:
        with browser() as page:
            page.driver.get(url)
            page.until("#now-text", "1 producer", "4 of 4 slots idle")
            held_button(page)
            space_bar(page)
            two_clicks_of_a_screen_reader(page)
            check(page, axe)
            assert page.complaints() == []

    async with GatewayMesh.opened(tmp_path) as mesh:
        await mesh.lend(engine)
        await mesh.see()
        await asyncio.to_thread(story, mesh.url)


async def test_a_sentence_that_a_real_engine_hears(browser: Opened, tmp_path: Path) -> None:
    speaker, hearer = (
        make_engines(TTS, "cpu", "espeak-ng")[0],
        make_engines(STT, "cpu", "pocketsphinx")[0],
    )
    await speaker.start()
    await hearer.start()
    sounds = [sound async for sound in speaker.speak(SpeechRequest(PUNGENT))]
    quiet = bytes(2 * sounds[0].rate // 2)
    spoken = wav((b"".join(s.pcm for s in sounds) + quiet) * 8, sounds[0].rate)

    def story(url: str) -> None:
        (tmp_path / "spoken.wav").write_bytes(spoken)
        with browser() as page:
            page.driver.get(url)
            page.hold("#talk", "5 s")
            page.until("#hear-status", "Done.")
            assert page.text("#words") == " ".join(producer.said)
            assert set(page.text("#words").split()) & {"quick", "brown", "fox", "lazy", "dog"}

    try:
        async with GatewayMesh.opened(tmp_path) as mesh, Codecs(1) as codecs:
            await codecs.start()
            producer = OverheardProducer([hearer], 1, codecs)
            await mesh.lend(producer)  # type: ignore[arg-type]
            await mesh.see(STT)
            await asyncio.to_thread(story, mesh.url)
    finally:
        await speaker.close()
        await hearer.close()


async def test_a_file_is_heard_as_it_goes_on_and_kept_as_subtitles(
    browser: Opened, tmp_path: Path
) -> None:
    engine = Overheard()
    loop = asyncio.get_running_loop()
    meeting = tmp_path / "meeting.wav"
    meeting.write_bytes(clip(2.5))

    def story(url: str) -> None:
        with browser() as page:
            folder = {"behavior": "allow", "downloadPath": str(tmp_path / "saved")}
            page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", folder)
            page.driver.get(url)
            page.until("#now-text", "idle")
            loop.call_soon_threadsafe(engine.gate.clear)
            page.find("#file").send_keys(str(meeting))
            page.until("#hear-status", "Recognising 2.5 s of sound.")
            loop.call_soon_threadsafe(engine.gate.set)
            page.until("#hear-status", "Done.")
            assert page.text("#words") == "16000 samples 16000 samples 8000 samples"
            for kind in ("txt", "srt", "vtt"):
                page.find(f"[data-save={kind}]").click()
            page.driver.get(url)
            page.script(DROPPED)
            page.until("#hear-status", "the file is no WAV file")

    async with GatewayMesh.opened(tmp_path) as mesh:
        await mesh.lend(engine)
        await mesh.see()
        await asyncio.to_thread(story, mesh.url)
    saved = {file.suffix: file.read_text() for file in (tmp_path / "saved").glob("meeting.*")}
    assert saved[".txt"] == "16000 samples 16000 samples 8000 samples\n"
    assert saved[".srt"].startswith("1\n00:00:00,000 --> 00:00:01,000\n16000 samples\n\n2\n")
    assert saved[".vtt"].startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n16000 samples\n")


DROPPED = """
const data = new DataTransfer();
data.items.add(new File(["no sound"], "note.wav"));
document.getElementById("drop").dispatchEvent(
  new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
"""


async def test_a_text_is_heard_while_it_is_spoken(browser: Opened, tmp_path: Path) -> None:
    engine = Overheard()
    loop = asyncio.get_running_loop()

    def story(url: str) -> None:
        with browser() as page:
            page.driver.get(url)
            page.until("#voice", "low", "high")
            page.until("#speak-language", "English")
            page.find("#text").send_keys("one two three")
            page.until("#text-count", "13 of 4,096")
            page.find("#say").click()
            page.until("#speak-status", "Done: 0.3 s of sound.")
            length = "return document.getElementById('audio').duration"
            assert page.script(length) == pytest.approx(3 * TONE, abs=0.02)
            page.driver.execute_script(
                "arguments[0].value = 'word '.repeat(40)", page.find("#text")
            )
            engine.gate.clear()
            page.find("#say").click()
            page.until("#speak-status", "Asking for a voice.")
            page.find("#hush").click()
            page.until("#speak-status", "Stopped.")
            loop.call_soon_threadsafe(engine.gate.set)
            assert page.complaints() == []

    async with GatewayMesh.opened(tmp_path) as mesh:
        await mesh.lend(engine)
        await mesh.see()
        await asyncio.to_thread(story, mesh.url)


async def test_an_empty_mesh_and_then_somebody_comes(
    browser: Opened, axe: Path, tmp_path: Path
) -> None:
    engine = Overheard()
    loop = asyncio.get_running_loop()
    meeting = tmp_path / "meeting.wav"
    meeting.write_bytes(clip(1.0))

    async def come(mesh: GatewayMesh) -> None:
        await mesh.lend(engine)
        await mesh.see()

    def story(mesh: GatewayMesh) -> None:
        with browser() as page:
            page.driver.get(mesh.url)
            page.until("#now-text", "Nobody lends just now")
            page.until("#producers", "The mesh is empty")
            page.find("#file").send_keys(str(meeting))
            page.until("#hear-status", "Nobody on the mesh does this just now.")
            check(page, axe)
            asyncio.run_coroutine_threadsafe(come(mesh), loop).result(60)
            page.until("#now-text", "1 producer")
            page.find("#hear-again").click()
            page.until("#hear-status", "Done.")
            assert page.text("#words") == "16000 samples"

    async with GatewayMesh.opened(tmp_path) as mesh:
        await asyncio.to_thread(story, mesh)


async def test_a_busy_mesh_and_one_that_fails(browser: Opened, axe: Path, tmp_path: Path) -> None:
    engine = Overheard(slots=0)
    meeting = tmp_path / "meeting.wav"
    meeting.write_bytes(clip(1500.0))  # 48 MB: refused before all of it was sent

    def story(url: str) -> None:
        with browser() as page:
            page.driver.get(url)
            page.until("#tiles", "all busy")
            page.find("#file").send_keys(str(meeting))
            page.until("#hear-status", "Everybody is busy, so the recording waits")
            page.until("#hear-status", "Everybody on the mesh is busy. Try again in")
            check(page, axe)
            engine.slots, engine.breaks_with = 1, EngineFailed("broken")
            page.find("#hear-again").click()
            page.until("#hear-status", "Those who were asked could not do it")
            page.until("#jobs", "failed")
            engine.breaks_with = None
            page.find("#hear-again").click()
            page.until("#hear-status", "Done.")

    async with GatewayMesh.opened(tmp_path, GatewayConfig(port=0, wait=3.0)) as mesh:
        await mesh.lend(engine)
        await mesh.see()
        await asyncio.to_thread(story, mesh.url)


async def test_a_gateway_that_has_gone_is_told_from_one_that_refuses(
    browser: Opened, tmp_path: Path
) -> None:
    loop = asyncio.get_running_loop()
    meeting = tmp_path / "meeting.wav"
    meeting.write_bytes(clip(1.0))

    def story(mesh: GatewayMesh) -> None:
        assert mesh.node.gateway is not None
        leave = mesh.node.gateway.server.__aexit__
        with browser() as page:
            page.driver.get(mesh.url)
            page.until("#now-text", "1 producer")
            asyncio.run_coroutine_threadsafe(leave(None, None, None), loop).result(20)
            page.until("#now-text", "The gateway does not answer")
            page.find("#file").send_keys(str(meeting))
            page.until("#hear-status", "The gateway does not answer. Is it still running")
            assert page.find("#hear-keep").get_attribute("download") == "meeting.wav"

    async with GatewayMesh.opened(tmp_path) as mesh:
        await mesh.lend(Overheard())
        await mesh.see()
        await asyncio.to_thread(story, mesh)


async def test_a_microphone_that_is_refused(browser: Opened, axe: Path, tmp_path: Path) -> None:
    def story(url: str) -> None:
        with browser(asks=True) as page:
            refused = {"permission": {"name": "microphone"}, "setting": "denied", "origin": url}
            page.driver.execute_cdp_cmd("Browser.setPermission", refused)
            page.driver.get(url)
            page.find("#talk").click()
            page.until("#hear-status", "The microphone was refused.")
            assert page.text("#talk") == "Hold to talk"
            check(page, axe)

    async with GatewayMesh.opened(tmp_path) as mesh:
        await asyncio.to_thread(story, mesh.url)


async def test_a_key_is_asked_for_and_kept_until_the_tab_is_closed(
    browser: Opened, axe: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    key = add_key(keys, "kitchen", 3600)

    def story(url: str) -> None:
        with browser() as page:
            page.driver.get(url)
            page.until("#key-wanted", "This gateway needs a key")
            page.until("#now-text", "A key is wanted")
            check(page, axe)
            for wrong in ("wrong", "with--two dashes made \N{EM DASH}"):
                page.find("#key").send_keys(f"{wrong}\n")
                page.until("#key-wanted", "That key is not one of this gateway's.")
                page.script("document.getElementById('key-why').textContent = ''")
            page.find("#key").send_keys(f"{key}\n")
            page.until("#now-text", "1 producer")
            page.driver.refresh()
            page.until("#now-text", "1 producer")
            page.hold("#talk", "1 s")
            page.until("#hear-status", "Done.")
            assert page.script("return Object.values(localStorage).length") == 0

    async with GatewayMesh.opened(tmp_path, GatewayConfig(port=0, keys=keys)) as mesh:
        await mesh.lend(Overheard())
        await mesh.see()
        await asyncio.to_thread(story, mesh.url)


async def test_whoever_has_used_up_its_sound_is_told_what_was_used_up_and_when_to_come(
    browser: Opened, tmp_path: Path
) -> None:
    """Who has no key was told of "your key"."""
    elsewhere = ("198.51.100.1/32", "198.51.100.0/24")

    def story(url: str) -> None:
        with browser() as page:
            page.driver.get(url)
            page.until("#now-text", "1 producer")
            page.find("#file").send_keys(str(tmp_path / "spoken.wav"))
            page.until("#hear-status", "Done.")
            page.find("#file").send_keys(str(tmp_path / "spoken.wav"))
            page.until("#hear-status", "Your address has used its 60 s of sound", "Try again in")

    async with GatewayMesh.opened(tmp_path, GatewayConfig(port=0, keyless_seconds=60)) as mesh:
        await mesh.lend(Overheard())
        await mesh.see()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(access, "quota_prefixes", lambda host: elsewhere)
            patch.setattr(mesh.gateway.server, "_prefixes_of", lambda host: elsewhere)
            await asyncio.to_thread(story, mesh.url)


async def test_on_another_machine_the_microphone_is_given_to_https_only(
    browser: Opened, tmp_path: Path
) -> None:
    https = HttpsConfig(tmp_path, host="0.0.0.0", port=0)
    there = GatewayConfig(host="0.0.0.0", port=0, is_open=True, https=https)
    lan = "--host-resolver-rules=MAP gateway.lan 127.0.0.1"

    def story(plain: int, secure: int, pin: str) -> None:
        known = f"--ignore-certificate-errors-spki-list={pin}"
        with browser(lan, known) as page:
            page.driver.get(f"http://gateway.lan:{plain}/")
            page.until("#now-text", "1 producer")
            page.find("#talk").click()
            page.until("#hear-status", f"Open https://gateway.lan:{secure} instead.")
            page.driver.get(f"https://gateway.lan:{secure}/")
            page.until("#now-text", "1 producer")
            page.hold("#talk", "1 s")
            page.until("#hear-status", "Done.")
            assert page.text("#words").startswith("16000 samples")

    async with GatewayMesh.opened(tmp_path, there) as mesh:
        await mesh.lend(Overheard())
        await mesh.see()
        assert mesh.node.gateway is not None
        port = mesh.node.gateway.https.port
        await asyncio.to_thread(story, mesh.port, port, key_pin(tmp_path / FILE))


def key_pin(pem: Path) -> str:
    """The SHA-256 of a certificate's public key, as Chromium wants it."""
    key = x509.load_pem_x509_certificate(pem.read_bytes()).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()
