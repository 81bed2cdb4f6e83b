// From any rate of sound to 16 kHz, piece by piece: a windowed sinc, which keeps what is above 8 kHz
// from folding into speech.

const HALF = 16; // zero crossings of the filter on each side
const FINE = 256; // entries of the filter's table for each of them
const PASS = 0.94; // of the lower rate's half that passes

export class Resampler {
  constructor(from, to) {
    this.step = from / to; // samples in for each one out
    this.scale = Math.min(1, to / from) * PASS;
    this.reach = Math.ceil(HALF / this.scale);
    this.table = filterTable();
    this.samples = new Float32Array(this.reach); // silence before the beginning
    this.next = this.reach; // where in `samples` the next one out stands
  }

  /** Samples out that can be told from all that was fed. */
  feed(piece) {
    const samples = new Float32Array(this.samples.length + piece.length);
    samples.set(this.samples);
    samples.set(piece, this.samples.length);
    const count = Math.max(0, Math.ceil((samples.length - this.reach - this.next) / this.step));
    const out = new Float32Array(count);
    for (let n = 0; n < count; n++) out[n] = this.at(samples, this.next + n * this.step);
    this.next += count * this.step;
    const done = Math.max(0, Math.floor(this.next) - this.reach);
    this.samples = samples.slice(done);
    this.next -= done;
    return out;
  }

  /** The rest. */
  finish() {
    return this.feed(new Float32Array(this.reach));
  }

  at(samples, place) {
    let sum = 0;
    const first = Math.max(0, Math.ceil(place - this.reach));
    const last = Math.min(samples.length - 1, Math.floor(place + this.reach));
    for (let n = first; n <= last; n++) {
      const entry = Math.round(Math.abs(n - place) * this.scale * FINE);
      if (entry < this.table.length) sum += samples[n] * this.table[entry];
    }
    return sum * this.scale;
  }
}

/** Half of a sinc in a Hann window. */
function filterTable() {
  const table = new Float32Array(HALF * FINE);
  for (let n = 0; n < table.length; n++) {
    const x = n / FINE;
    const sinc = n ? Math.sin(Math.PI * x) / (Math.PI * x) : 1;
    table[n] = sinc * (0.5 + 0.5 * Math.cos((Math.PI * x) / HALF));
  }
  return table;
}
