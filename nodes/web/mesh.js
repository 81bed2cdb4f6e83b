// What the gateway knows of the mesh and of its own jobs, looked at every few seconds.

import { ask } from "./api.js";
import { byId, fill, languageName, make, plural, table } from "./dom.js";

const EVERY = 3000; // milliseconds
const NAMES = { stt: "Speech to text", tts: "Text to speech" };
const COMMON = "ar bn ca cs da de el en es fa fi fr he hi hu id it ja ko nl no pl pt ro ru sv ta th tr uk ur vi zh".split(" ");

let known = null;
let choices = ""; // what the lists were filled from last
let timer = 0;
let looks = 0; // how often it was looked; only the last look plans the next

export const current = () => known;

/** Look now, and from now on while the page is seen. */
export async function look() {
  clearTimeout(timer);
  looks += 1;
  const mine = looks;
  try {
    known = await (await ask("/mesh.json")).json();
    render();
    await choose();
  } catch (error) {
    const what = { offline: "The gateway does not answer", invalid_api_key: "A key is wanted" };
    pill(what[error.code] || error.message, "bad");
  }
  if (mine === looks && !document.hidden) timer = setTimeout(look, EVERY);
}

document.addEventListener("visibilitychange", () => document.hidden || look());

function pill(text, state) {
  byId("now").dataset.state = state;
  if (byId("now-text").textContent !== text) byId("now-text").textContent = text;
}

function render() {
  const services = Object.values(known.services);
  const { slots, idle } = known;
  if (!services.some((service) => service.producers)) pill("Nobody lends just now", "empty");
  else if (!idle) pill(`All ${plural(slots, "slot")} busy`, "busy");
  else pill(`${plural(known.producers.length + known.more_producers, "producer")}, ${idle} of ${plural(slots, "slot")} idle`, "idle");
  byId("tiles").replaceChildren(...Object.entries(known.services).map(([name, told]) => tile(name, told)));
  byId("producers").replaceChildren(producers());
  byId("jobs").replaceChildren(jobs());
}

function tile(name, told) {
  const state = told.producers ? (told.idle ? "idle" : "busy") : "empty";
  const word = { idle: "idle", busy: "all busy", empty: "nobody" }[state];
  const numbers = told.producers
    ? `${plural(told.producers, "producer")}, ${told.idle} of ${plural(told.slots, "slot")} idle`
    : "Nobody on the mesh lends it just now.";
  const here = told.running || told.waiting ? `From here ${told.running} running, ${told.waiting} waiting.` : "Nothing from here just now.";
  return make("div", { class: "tile", "data-state": state },
    make("h3", {}, NAMES[name] || name, make("span", { class: "tag" }, word)),
    make("p", {}, numbers), make("p", { class: "hint" }, here));
}

function producers() {
  if (!known.producers.length) {
    return make("p", { class: "nothing" }, "The mesh is empty: nobody lends speech just now. This page sees it as soon as somebody does.");
  }
  const rows = known.producers.map((producer) => [
    make("span", {}, make("code", {}, producer.id), producer.here ? " (this node)" : ""),
    make("ul", { class: "plain" }, ...producer.does.map((one) => make("li", {}, `${NAMES[one.service] || one.service}: ${one.engine}`,
      make("span", { class: "hint" }, ` ${[one.backend.toUpperCase(), ...one.models.slice(0, 3)].join(", ")}`)))),
    slotDots(producer),
    producer.relayed ? "through a farm" : "direct",
  ]);
  const shown = table("Producers on the mesh", ["Producer", "Services", "Idle slots", "Route"], rows);
  if (!known.more_producers) return shown;
  return make("div", {}, shown, make("p", { class: "hint" }, `and ${known.more_producers.toLocaleString("en")} more`));
}

function slotDots({ slots, idle }) {
  const dots = make("span", { class: "dots", "aria-hidden": "true" });
  for (let n = 0; n < Math.min(slots, 12); n++) dots.append(make("i", { class: n < idle ? "free" : "taken" }));
  return make("span", { class: "nowrap" }, dots, ` ${idle} of ${slots}`);
}

function jobs() {
  if (!known.jobs.length) return make("p", { class: "nothing" }, "None since it was started.");
  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
  const rows = known.jobs.map((job) => [
    make("time", { datetime: new Date(job.at * 1000).toISOString() }, clock.format(job.at * 1000)),
    NAMES[job.service] || job.service,
    soundOf(job),
    `${job.seconds.toFixed(job.seconds < 10 ? 2 : 1)} s`,
    make("span", { class: "tag", "data-outcome": job.outcome }, job.outcome),
    make("span", {}, ...job.producers.flatMap((id, n) => [n ? " " : "", make("code", {}, id)])),
  ]);
  return table("Jobs that ended lately", ["Ended", "What", "Sound", "Took", "Outcome", "Producer"], rows);
}

/** Of a text it is known by its characters only. */
function soundOf({ service, sound }) {
  if (!sound) return "";
  return service === "tts" ? `about ${Math.ceil(sound)} s` : `${sound.toFixed(1)} s`;
}

// -- the lists to choose from ---------------------------------------------------------------------

/** Fill the lists, when the mesh can do other things than the last time. */
async function choose() {
  const can = JSON.stringify(known.producers.map((producer) => producer.does));
  if (can === choices) return;
  const [models, voices] = await Promise.all(["/v1/models", "/v1/audio/voices"].map(async (path) => (await (await ask(path)).json()).data));
  choices = can;
  const of = (service) => models.filter((model) => model.service === service);
  fill(byId("hear-model"), "Any", of("stt").map(({ id }) => [id, id]));
  fill(byId("hear-language"), "Detect", languagesOf(of("stt").map((model) => model.languages)));
  byId("translate-label").hidden = !of("stt").some((model) => model.translates);
  if (byId("translate-label").hidden) byId("translate").checked = false;
  fill(byId("speak-model"), "Any", of("tts").filter(({ id }) => !id.includes(":")).map(({ id }) => [id, id]));
  const spoken = voices.map((voice) => voice.language && [primary(voice.language)]).filter(Boolean);
  fill(byId("speak-language"), "Any", languagesOf(spoken.length ? spoken : of("tts").map((model) => model.languages)));
  const list = () => fill(byId("voice"), "Any", voicesFor(voices, byId("speak-language").value));
  byId("speak-language").onchange = list;
  list();
}

const primary = (tag) => tag.split(/[-_]/)[0].toLowerCase();

/** Languages by name. An engine that lists none knows all: then the most spoken ones. */
function languagesOf(lists) {
  const tags = new Set(lists.flatMap((list) => (list.length ? list : COMMON)));
  return [...tags].map((tag) => [tag, languageName(tag)]).sort((a, b) => a[1].localeCompare(b[1], "en"));
}

function voicesFor(voices, language) {
  const names = new Map();
  for (const { id, language: tag } of voices) {
    if (language && tag && primary(tag) !== language) continue;
    if (!names.has(id)) names.set(id, tag ? `${id} (${languageName(tag)})` : id);
  }
  return [...names];
}
