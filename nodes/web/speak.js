// Text to speech: heard while it is still being spoken, then kept as a file.

import { Failure, ask } from "./api.js";
import { byId, say } from "./dom.js";
import { WavStream, wavFile } from "./wav.js";

const AHEAD = 0.1; // seconds that playing begins after the first sound has come
const PIECE = 0.2; // seconds of sound that are handed to the player at a time

const line = byId("speak-status");
const text = byId("text");
let work = null;

export function setUp() {
  text.addEventListener("input", count);
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("speak-form").requestSubmit();
  });
  byId("speak-form").addEventListener("submit", (event) => {
    event.preventDefault();
    speak();
  });
  byId("hush").addEventListener("click", () => work?.abort());
  count();
}

function count() {
  byId("text-count").textContent = `${text.value.length.toLocaleString("en")} of ${text.maxLength.toLocaleString("en")} characters`;
}

async function speak() {
  work?.abort();
  const mine = new AbortController();
  work = mine;
  byId("hush").hidden = false;
  byId("player").hidden = true;
  byId("audio").pause();
  say(line, "Asking for a voice.");
  const player = new Player();
  mine.signal.addEventListener("abort", () => player.close());
  try {
    await hear(mine.signal, player);
    if (work === mine) {
      keep(player);
      say(line, `Done: ${player.seconds.toFixed(1)} s of sound.`, "good");
    }
    await player.end();
  } catch (error) {
    if (work !== mine) return;
    const left = error.name === "AbortError";
    if (!left && !(error instanceof Failure)) console.error(error);
    say(line, left ? "Stopped." : error.message, left ? "" : "bad");
  } finally {
    player.close();
    if (work === mine) {
      work = null;
      byId("hush").hidden = true;
    }
  }
}

async function hear(signal, player) {
  const answer = await ask("/v1/audio/speech", {
    method: "POST",
    signal,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      model: byId("speak-model").value,
      voice: byId("voice").value,
      language: byId("speak-language").value,
      speed: Number(byId("speed").value),
      input: text.value,
      response_format: "wav",
    }),
  });
  const reader = answer.body.getReader();
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Failure("The voice broke off: its producer was lost. Speak again to ask another.", "offline");
    }
    if (piece.done) break;
    player.feed(piece.value);
    if (player.seconds) say(line, "Speaking.", "on");
  }
  player.flush();
}

function keep(player) {
  const audio = byId("audio");
  URL.revokeObjectURL(audio.src);
  audio.src = URL.createObjectURL(player.file());
  byId("speak-save").href = audio.src;
  byId("player").hidden = false;
}

/** Plays a WAV file while it comes. */
class Player {
  constructor() {
    this.wav = new WavStream();
    this.pieces = [];
    this.kept = 0; // pieces that were handed to the player
    this.samples = 0;
    this.context = null;
    this.until = 0; // when what was handed on ends, in the context's seconds
  }

  get seconds() {
    return this.wav.rate ? this.samples / this.wav.rate : 0;
  }

  feed(bytes) {
    const samples = this.wav.feed(bytes);
    if (!samples.length) return;
    this.pieces.push(samples);
    this.samples += samples.length;
    const waiting = this.pieces.slice(this.kept).reduce((sum, piece) => sum + piece.length, 0);
    if (waiting >= PIECE * this.wav.rate) this.flush();
  }

  /** Hand on what has come; at the sound's own rate, or each joint would click. */
  flush() {
    const pieces = this.pieces.slice(this.kept);
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (!length) return;
    this.kept = this.pieces.length;
    this.context ||= new AudioContext({ sampleRate: this.wav.rate });
    const buffer = this.context.createBuffer(1, length, this.wav.rate);
    const channel = buffer.getChannelData(0);
    let at = 0;
    for (const piece of pieces) for (const sample of piece) channel[at++] = sample / 32768;
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.context.destination);
    this.until = Math.max(this.until, this.context.currentTime + AHEAD);
    source.start(this.until);
    this.until += length / this.wav.rate;
    this.last = source;
  }

  /** Return when all was heard, or it was closed. */
  async end() {
    if (!this.context || this.context.state === "closed") return;
    await new Promise((resolve) => {
      this.last.onended = resolve;
      this.closed = resolve;
    });
  }

  close() {
    if (this.context && this.context.state !== "closed") this.context.close();
    this.closed?.();
  }

  file() {
    return wavFile(this.pieces, this.wav.rate);
  }
}
