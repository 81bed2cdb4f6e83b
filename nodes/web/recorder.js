// The microphone as a WAV file of 16 kHz, which every producer reads without a codec.

import { Resampler } from "./resample.js";
import { to16bit, wavFile } from "./wav.js";

const RATE = 16_000; // Hz; engines hear no more
export const LONGEST = 30 * 60; // seconds; whoever forgot that it listens is cut off then

/** Why there is no microphone, in words. */
export function whyNoMicrophone(error, securePort) {
  if (!window.isSecureContext) {
    const where = securePort ? ` Open https://${location.hostname}:${securePort} instead.` : " The owner of this gateway can add --gateway-https.";
    return `Browsers give the microphone to https pages only.${where}`;
  }
  if (error.name === "NotAllowedError" || error.name === "SecurityError") {
    return "The microphone was refused. Allow it in your browser's settings for this page, and try again; a file works without.";
  }
  if (error.name === "NotFoundError") return "There is no microphone here. A file works without.";
  if (error.name === "NotReadableError") return "The microphone is used by another program.";
  return `The microphone cannot be used: ${error.message || error.name || error}`;
}

export class Recorder {
  /** `onLevel` hears how loud it is, 0 to 1, and for how many seconds it has listened. */
  static async start(onLevel) {
    if (!navigator.mediaDevices) throw new DOMException("no microphone for this page", "SecurityError");
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: false, noiseSuppression: true, autoGainControl: true },
    });
    const recorder = new Recorder(stream, onLevel);
    try {
      await recorder.open();
    } catch (error) {
      recorder.release();
      throw error;
    }
    return recorder;
  }

  constructor(stream, onLevel) {
    this.stream = stream;
    this.onLevel = onLevel;
    this.context = new AudioContext();
    this.resampler = new Resampler(this.context.sampleRate, RATE);
    this.pieces = [];
    this.count = 0; // samples
    this.ended = new Promise((resolve) => { this.end = resolve; });
  }

  async open() {
    await this.context.audioWorklet.addModule("/web/worklet.js");
    this.tap = new AudioWorkletNode(this.context, "tap", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    this.tap.port.onmessage = ({ data }) => this.take(data);
    this.source = this.context.createMediaStreamSource(this.stream);
    this.source.connect(this.tap);
    await this.context.resume();
  }

  take({ samples, isLast }) {
    let loudest = 0;
    for (const x of samples) loudest = Math.max(loudest, Math.abs(x));
    this.keep(this.resampler.feed(samples));
    this.onLevel(loudest, this.seconds);
    if (isLast) this.end();
  }

  keep(samples) {
    if (samples.length) this.pieces.push(to16bit(samples));
    this.count += samples.length;
  }

  get seconds() {
    return this.count / RATE;
  }

  /** The recording, as a WAV file. */
  async stop() {
    this.source.disconnect();
    this.tap.port.postMessage("end");
    await this.ended;
    this.keep(this.resampler.finish());
    this.release();
    return wavFile(this.pieces, RATE);
  }

  release() {
    for (const track of this.stream.getTracks()) track.stop();
    this.context.close();
  }
}
