// A transcript as a text and as subtitles: at most two lines of 42 characters at a time.

const LINE = 42; // characters

/** All words in one paragraph for each pause of more than two seconds. */
export function asText(segments) {
  let text = "";
  segments.forEach((segment, n) => {
    const pause = n ? segment.start - segments[n - 1].end : 0;
    text += (n ? (pause > 2 ? "\n\n" : " ") : "") + segment.text;
  });
  return text + (text ? "\n" : "");
}

export function asSrt(segments) {
  return cues(segments).map((cue, n) =>
    `${n + 1}\n${time(cue.start, ",")} --> ${time(cue.end, ",")}\n${cue.lines.join("\n")}\n`).join("\n");
}

export function asVtt(segments) {
  const clean = (line) => line.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return `WEBVTT\n\n${cues(segments).map((cue) =>
    `${time(cue.start, ".")} --> ${time(cue.end, ".")}\n${cue.lines.map(clean).join("\n")}\n`).join("\n")}`;
}

/** "00:01:02.345"; the mark before the milliseconds differs. */
function time(seconds, mark) {
  const ms = Math.round(seconds * 1000);
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  return `${two(ms / 3_600_000)}:${two((ms / 60_000) % 60)}:${two((ms / 1000) % 60)}${mark}${String(ms % 1000).padStart(3, "0")}`;
}

function cues(segments) {
  return segments.filter((segment) => segment.text).flatMap(split);
}

/** A segment in parts that fit; each has time by its share of the characters. */
function split(segment) {
  const lines = wrap(segment.text, LINE);
  const parts = [];
  for (let n = 0; n < lines.length; n += 2) parts.push(lines.slice(n, n + 2).join(" "));
  const total = parts.reduce((sum, part) => sum + part.length, 0) || 1;
  const seconds = segment.end - segment.start;
  let start = segment.start;
  return parts.map((part) => {
    const end = start + (seconds * part.length) / total;
    const cue = { start, end, lines: twoLines(part) };
    start = end;
    return cue;
  });
}

/** One line where it fits, else two of about the same length. */
function twoLines(text) {
  if (text.length <= LINE) return [text];
  const balanced = wrap(text, Math.max(Math.ceil(text.length / 2) + 5, 24));
  return balanced.length <= 2 && balanced.every((line) => line.length <= LINE) ? balanced : wrap(text, LINE);
}

/** Lines of at most `most` characters, cut between words; a longer word is cut itself. */
function wrap(text, most) {
  const lines = [];
  let line = "";
  for (let word of text.split(/\s+/)) {
    if (line && line.length + 1 + word.length > most) {
      lines.push(line);
      line = "";
    }
    while (word.length > most) {
      lines.push(word.slice(0, most));
      word = word.slice(most);
    }
    line = line && word ? `${line} ${word}` : line || word;
  }
  return line ? [...lines, line] : lines;
}
