// The little that every part of the page needs to show something.

export const byId = (id) => document.getElementById(id);

/** An element; strings among the children become text, so that nothing is ever taken for markup. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** A table with a heading for each column; a first cell of a row is its heading. */
export function table(caption, headings, rows) {
  const head = make("tr", {}, ...headings.map((text) => make("th", { scope: "col" }, text)));
  const body = rows.map((cells) =>
    make("tr", {}, ...cells.map((cell, n) => make(n ? "td" : "th", n ? {} : { scope: "row" }, cell))));
  return make("table", {}, make("caption", { class: "unseen" }, caption),
    make("thead", {}, head), make("tbody", {}, ...body));
}

/** Give a list to choose from, and keep what was chosen while it is there. */
export function fill(select, first, choices) {
  const chosen = select.value;
  const wanted = [["", first], ...choices];
  const shown = [...select.options].map((option) => [option.value, option.text]);
  if (JSON.stringify(shown) === JSON.stringify(wanted)) return;
  select.replaceChildren(...wanted.map(([value, text]) => make("option", { value }, text)));
  if (wanted.some(([value]) => value === chosen)) select.value = chosen;
}

/** A status line: what is going on, and whether that is bad. */
export function say(line, text, state = "") {
  line.dataset.state = state;
  if (line.textContent !== text) line.textContent = text;
}

/** Have the browser save a file. */
export function save(name, type, content) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

const languages = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });

/** A language's name in English; its tag where there is none. */
export function languageName(tag) {
  try {
    return languages.of(tag) || tag;
  } catch {
    return tag;
  }
}

export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
