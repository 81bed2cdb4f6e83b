// Asking the gateway: the key, server-sent events, and errors in words that help.

const KEY = "privox-key";
let onKeyWanted = () => {};

/** `wanted` is called with a sentence whenever the gateway asks for a key. */
export function whenKeyIsWanted(wanted) {
  onKeyWanted = wanted;
}

export const hasKey = () => Boolean(sessionStorage.getItem(KEY));
// A header can have no other characters: a key that was changed on its way here is then just wrong
export const useKey = (key) => sessionStorage.setItem(KEY, key.replace(/[^\x20-\x7e]/g, "?"));

/** What went wrong, as it is shown; `canRetry` says whether the same may work later. */
export class Failure extends Error {
  constructor(message, code = "", canRetry = true) {
    super(message);
    this.code = code;
    this.canRetry = canRetry;
  }
}

/** A response of the gateway. Throws Failure, or AbortError when `signal` ended it. */
export async function ask(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, cache: "no-store", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw await whyNoAnswer();
  }
  if (answer.ok) return answer;
  throw failureOf(await answer.json().catch(() => ({})), answer.status, answer.headers.get("Retry-After"));
}

/** A server that refuses an upload does not wait for all of it, and a browser may not see its answer. */
async function whyNoAnswer() {
  const isThere = await fetch("/healthz", { cache: "no-store" }).then(() => true, () => false);
  return isThere
    ? new Failure("The gateway did not take all of it, as when all producers are busy. Try again in a moment.", "cut_off")
    : new Failure("The gateway does not answer. Is it still running, and are you still in its network?", "offline");
}

/** The objects of a stream of server-sent events, as they come. */
export async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const data = block.split("\n").filter((line) => line.startsWith("data:"));
        if (!data.length) continue;
        const event = JSON.parse(data.map((line) => line.slice(5)).join("\n"));
        if (event.type === "error") throw failureOf(event, event.status || 500, null);
        yield event;
      }
    }
  } catch (error) {
    if (error instanceof Failure || error.name === "AbortError") throw error;
    throw new Failure("The connection to the gateway broke.", "offline");
  } finally {
    reader.cancel().catch(() => {});
  }
}

function failureOf(told, status, retryAfter) {
  const error = told.error || {};
  const code = error.code || String(status);
  if (status === 401) {
    onKeyWanted(hasKey() ? "That key is not one of this gateway's." : "");
    return new Failure("This gateway needs a key: enter it above.", code);
  }
  const soon = retryAfter ? ` Try again in ${retryAfter} seconds.` : " Try again in a moment.";
  const words = {
    no_producer: "Nobody on the mesh does this just now. As soon as somebody lends it, it works.",
    busy: `Everybody on the mesh is busy.${soon}`,
    all_failed: "Those who were asked could not do it, or were lost on the way.",
    rate_limit_exceeded: `${sentence(error.message)}${soon}`,
    not_joined: "The gateway has not found its mesh yet.",
  }[code];
  const isOurs = status >= 400 && status < 500 && status !== 429;
  return new Failure(words || sentence(error.message) || `The gateway answered ${status}.`, code, !isOurs);
}

function sentence(text) {
  if (!text) return "";
  return text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
