// Runs where the sound is: hands the first channel on in pieces.

const PIECE = 2048; // samples: 43 ms at 48 kHz

class Tap extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Float32Array(PIECE);
    this.filled = 0;
    this.port.onmessage = () => this.hand(true);
  }

  process([input]) {
    const samples = input[0];
    if (!samples) return true;
    let at = 0;
    while (at < samples.length) {
      const take = Math.min(samples.length - at, PIECE - this.filled);
      this.piece.set(samples.subarray(at, at + take), this.filled);
      this.filled += take;
      at += take;
      if (this.filled === PIECE) this.hand(false);
    }
    return true;
  }

  hand(isLast) {
    this.port.postMessage({ samples: this.piece.slice(0, this.filled), isLast });
    this.filled = 0;
  }
}

registerProcessor("tap", Tap);
