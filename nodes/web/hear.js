// Speech to text: hold to talk, or a file; the words as they come; what can be done with them.

import { Failure, ask, events } from "./api.js";
import { asSrt, asText, asVtt } from "./captions.js";
import { byId, make, save, say } from "./dom.js";
import { LONGEST, Recorder, whyNoMicrophone } from "./recorder.js";

const TAP = 350; // milliseconds; a shorter press keeps it listening
const SHORTEST = 0.2; // seconds of a recording that is sent
const PATIENCE = 1500; // milliseconds without an answer until the page says what it waits for

let mesh = () => null;
let recorder = null; // while it listens
let starting = null; // while the microphone is asked for
let pressed = 0; // when, in milliseconds; 0: not held
let work = null; // AbortController of the job that runs
let sound = null; // what was recorded or chosen last: { blob, name }
let segments = [];

const line = byId("hear-status");
const talk = byId("talk");

/** `current` tells what is known of the mesh. */
export function setUp(current) {
  mesh = current;
  talk.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    talk.setPointerCapture(event.pointerId);
    press();
  });
  talk.addEventListener("pointerup", release);
  talk.addEventListener("pointercancel", release);
  talk.addEventListener("contextmenu", (event) => event.preventDefault());
  talk.addEventListener("click", (event) => {
    if (event.detail === 0 && !pressed) toggle(); // a screen reader's click, without a pointer
  });
  document.addEventListener("keydown", keyDown);
  document.addEventListener("keyup", keyUp);
  window.addEventListener("blur", () => pressed && release());
  byId("file").addEventListener("change", (event) => {
    const [file] = event.target.files;
    if (file) transcribe(file, file.name);
    event.target.value = "";
  });
  setUpDrop();
  byId("hear-cancel").addEventListener("click", () => work?.abort());
  byId("hear-again").addEventListener("click", () => sound && transcribe(sound.blob, sound.name));
  byId("copy").addEventListener("click", copy);
  for (const button of document.querySelectorAll("[data-save]")) {
    button.addEventListener("click", () => saveAs(button.dataset.save));
  }
}

// -- hold to talk ---------------------------------------------------------------------------------

const USES_SPACE = "button, input, select, textarea, a, audio, summary, [tabindex='0']";

/** Whether a key is for talking: not where it means something else. */
function isTalkKey(event) {
  if (event.target === talk) return event.code === "Space" || event.code === "Enter";
  return event.code === "Space" && !event.target.closest(USES_SPACE);
}

function keyDown(event) {
  if (event.key === "Escape") {
    work?.abort();
    return;
  }
  if (!isTalkKey(event) || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  if (!event.repeat) press();
}

function keyUp(event) {
  if (!isTalkKey(event) && !(pressed && event.code === "Space")) return;
  event.preventDefault();
  release();
}

function press() {
  if (recorder || starting) {
    stop();
    return;
  }
  pressed = performance.now();
  start();
}

function release() {
  if (!pressed) return;
  const held = performance.now() - pressed;
  pressed = 0;
  if (held >= TAP) stop();
  else if (recorder) listening();
}

const toggle = () => (recorder || starting ? stop() : start());

async function start() {
  if (work) work.abort();
  retry(false);
  say(line, "Waiting for the microphone.");
  starting = Recorder.start(heardSound);
  try {
    recorder = await starting;
    listening();
  } catch (error) {
    idle();
    say(line, whyNoMicrophone(error, mesh()?.https_port), "bad");
  } finally {
    starting = null;
  }
}

function listening() {
  talk.dataset.state = "on";
  byId("talk-label").textContent = pressed ? "Let go to send" : "Tap to send";
  say(line, "It listens.", "on");
}

function heardSound(level, seconds) {
  if (!recorder) return; // what came after the end
  talk.style.setProperty("--level", Math.min(1, Math.sqrt(level)).toFixed(3));
  byId("talk-seconds").textContent = `${Math.floor(seconds)} s`;
  if (seconds > LONGEST) stop();
}

async function stop() {
  pressed = 0;
  if (starting) await starting.catch(() => null);
  const stopped = recorder;
  recorder = null;
  if (!stopped) return;
  idle();
  const blob = await stopped.stop();
  if (stopped.seconds < SHORTEST) {
    say(line, "That was too short. Hold the button while you speak.", "bad");
    return;
  }
  await transcribe(blob, "recording.wav");
}

function idle() {
  talk.dataset.state = "";
  talk.style.removeProperty("--level");
  byId("talk-label").textContent = "Hold to talk";
  byId("talk-seconds").textContent = "";
}

// -- files ----------------------------------------------------------------------------------------

function setUpDrop() {
  const zone = byId("hear");
  const hasFile = (event) => event.dataTransfer?.types.includes("Files");
  for (const kind of ["dragenter", "dragover"]) {
    document.addEventListener(kind, (event) => {
      if (!hasFile(event)) return;
      event.preventDefault();
      zone.dataset.drop = "on";
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) delete zone.dataset.drop;
  });
  document.addEventListener("drop", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    delete zone.dataset.drop;
    const [file] = event.dataTransfer.files;
    if (file) transcribe(file, file.name);
  });
}

// -- the job --------------------------------------------------------------------------------------

async function transcribe(blob, name) {
  work?.abort();
  const mine = new AbortController();
  work = mine;
  sound = { blob, name };
  segments = [];
  show([]);
  retry(false);
  progress(0, 0);
  say(line, "Sending the recording.");
  const waiting = setTimeout(() => say(line, whatItWaitsFor()), PATIENCE);
  try {
    await listen(mine.signal, blob, name, () => clearTimeout(waiting));
    say(line, segments.length ? "Done." : "Nothing was understood.", "good");
  } catch (error) {
    if (work !== mine) return;
    const left = error.name === "AbortError";
    if (!left && !(error instanceof Failure)) console.error(error);
    say(line, left ? "Stopped." : error.message, left ? "" : "bad");
    retry(!left && error.canRetry !== false);
  } finally {
    clearTimeout(waiting);
    if (work === mine) {
      work = null;
      byId("hear-progress").hidden = true;
    }
  }
}

async function listen(signal, blob, name, onAnswer) {
  const form = new FormData();
  form.append("stream", "true");
  form.append("model", byId("hear-model").value);
  form.append("language", byId("hear-language").value);
  form.append("file", blob, name);
  const path = byId("translate").checked ? "translations" : "transcriptions";
  const answer = await ask(`/v1/audio/${path}`, { method: "POST", body: form, signal });
  let seconds = 0;
  let isDone = false;
  for await (const event of events(answer)) {
    onAnswer();
    if (event.seconds) {
      seconds = event.seconds;
      say(line, `Recognising ${seconds.toFixed(1)} s of sound.`, "on");
      progress(0, seconds);
    }
    if (event.segment) {
      segments.push({ ...event.segment, text: event.delta.trim() });
      show(segments);
      progress(event.segment.end, seconds);
    }
    isDone ||= event.type === "transcript.text.done";
  }
  if (!isDone) throw new Failure("The answer broke off before its end.", "offline");
}

function whatItWaitsFor() {
  const stt = mesh()?.services.stt;
  if (!stt || stt.idle) return "It was sent; somebody works on it.";
  const others = stt.waiting > 1 ? ` ${stt.waiting - 1} others wait too.` : "";
  return `Everybody is busy, so the recording waits for its turn.${others}`;
}

function progress(done, seconds) {
  byId("hear-progress").hidden = false;
  const bar = byId("hear-bar");
  if (seconds) bar.value = Math.min(1, done / seconds);
  else bar.removeAttribute("value");
}

function retry(isWanted) {
  byId("hear-retry").hidden = !isWanted;
  if (!isWanted || !sound) return;
  const keep = byId("hear-keep");
  URL.revokeObjectURL(keep.href);
  keep.href = URL.createObjectURL(sound.blob);
  keep.download = sound.name;
}

// -- the words ------------------------------------------------------------------------------------

function show(shown) {
  const words = byId("words");
  if (!shown.length) words.replaceChildren();
  for (const segment of shown.slice(words.childElementCount)) {
    words.append(make("span", { title: `${segment.start.toFixed(1)} to ${segment.end.toFixed(1)} s` }, `${segment.text} `));
  }
  words.scrollTop = words.scrollHeight;
  byId("hear-tools").hidden = !shown.length;
}

async function copy() {
  const text = asText(segments);
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    getSelection().selectAllChildren(byId("words")); // http beyond loopback has no clipboard
    document.execCommand("copy");
  }
  say(line, "Copied.", "good");
}

function saveAs(kind) {
  const [write, type] = { txt: [asText, "text/plain"], srt: [asSrt, "application/x-subrip"], vtt: [asVtt, "text/vtt"] }[kind];
  const name = sound.name.replace(/\.[^.]*$/, "") || "recording";
  save(`${name}.${kind}`, type, write(segments));
}
