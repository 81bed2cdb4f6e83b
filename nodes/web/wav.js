// WAV files: written from 16-bit pieces, read as they stream in.

const HEADER = 44;

/** A file of mono 16-bit pieces (Int16Array or bytes). */
export function wavFile(pieces, rate) {
  const size = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  const header = new DataView(new ArrayBuffer(HEADER));
  const tag = (at, text) => [...text].forEach((c, n) => header.setUint8(at + n, c.charCodeAt(0)));
  tag(0, "RIFF");
  header.setUint32(4, HEADER - 8 + size, true);
  tag(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true);
  header.setUint16(22, 1, true);
  header.setUint32(24, rate, true);
  header.setUint32(28, 2 * rate, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  tag(36, "data");
  header.setUint32(40, size, true);
  return new Blob([header, ...pieces], { type: "audio/wav" });
}

/** Reads a mono 16-bit WAV stream: `feed` gives the samples that a piece completes. */
export class WavStream {
  constructor() {
    this.rate = 0; // Hz, once the header was read
    this.rest = new Uint8Array(0);
  }

  feed(piece) {
    let bytes = new Uint8Array(this.rest.length + piece.length);
    bytes.set(this.rest);
    bytes.set(piece, this.rest.length);
    this.rest = new Uint8Array(0);
    if (!this.rate) {
      const begins = this.readHeader(bytes);
      if (!begins) {
        this.rest = bytes;
        return new Int16Array(0);
      }
      bytes = bytes.slice(begins);
    }
    const whole = bytes.length - (bytes.length % 2);
    this.rest = bytes.slice(whole);
    return new Int16Array(bytes.slice(0, whole).buffer);
  }

  /** Where the sound begins; 0 while that is not known. */
  readHeader(bytes) {
    const view = new DataView(bytes.buffer);
    let rate = 0;
    for (let at = 12; at + 8 <= bytes.length;) {
      const name = String.fromCharCode(...bytes.subarray(at, at + 4));
      if (name === "data") {
        this.rate = rate;
        return rate ? at + 8 : 0;
      }
      if (name === "fmt " && at + 16 <= bytes.length) rate = view.getUint32(at + 12, true);
      const size = view.getUint32(at + 4, true);
      at += 8 + size + (size % 2);
    }
    return 0;
  }
}

/** Samples of -1 to 1 as 16-bit ones. */
export function to16bit(samples) {
  return Int16Array.from(samples, (x) => Math.round(Math.max(-1, Math.min(1, x)) * 32767));
}
