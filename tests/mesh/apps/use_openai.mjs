// What JavaScript apps ask of a gateway, by the libraries that they use: `node use_openai.mjs URL WAV`.
// Prints one JSON object of what came back.
import fs from "node:fs";
import OpenAI from "openai";
import { createOpenAI } from "@ai-sdk/openai";
import { experimental_generateSpeech, experimental_transcribe } from "ai";

const [url, wav] = process.argv.slice(2);
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const file = () => fs.createReadStream(wav);
const told = {};

told.text = (await openai.audio.transcriptions.create({ model: "whisper-1", file: file() })).text;
told.srt = await openai.audio.transcriptions.create({
  model: "gpt-transcribe", file: file(), response_format: "srt",
});
const verbose = await openai.audio.transcriptions.create({
  model: "whisper-1", file: file(), response_format: "verbose_json",
  timestamp_granularities: ["word"],
});
told.words = verbose.words.map((word) => word.word);
told.streamed = "";
const events = await openai.audio.transcriptions.create({
  model: "gpt-4o-transcribe", file: file(), stream: true,
});
for await (const event of events) {
  if (event.type === "transcript.text.delta") told.streamed += event.delta;
}
const spoken = await openai.audio.speech.create({
  model: "tts-1", voice: "alloy", input: "a b", response_format: "wav",
});
told.wav = Buffer.from(await spoken.arrayBuffer()).length;
const raw = await openai.audio.speech.create({
  model: "gpt-4o-mini-tts", voice: "nova", input: "a b", response_format: "pcm",
});
told.pcm = Buffer.from(await raw.arrayBuffer()).length;
told.models = (await openai.models.list()).data.map((model) => model.id);
try {
  await openai.audio.transcriptions.create({ model: "gigantic", file: file() });
} catch (error) {
  told.error = [error.constructor.name, error.status, error.code];
}

const sdk = createOpenAI({ baseURL: `${url}/v1`, apiKey: "none" });
const heard = await experimental_transcribe({
  model: sdk.transcription("whisper-1"), audio: fs.readFileSync(wav), maxRetries: 0,
  providerOptions: { openai: { timestampGranularities: ["segment"] } },
});
told.sdk = [heard.text, heard.durationInSeconds, heard.segments.length];
const speech = await experimental_generateSpeech({
  model: sdk.speech("tts-1"), text: "a b", outputFormat: "wav", maxRetries: 0,
});
told.sdkWav = speech.audio.uint8Array.length;
console.log(JSON.stringify(told));
