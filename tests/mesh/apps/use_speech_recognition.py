"""SpeechRecognition, told of the gateway by OPENAI_BASE_URL alone. `python ... URL WAV`."""

import json
import os
import sys

import speech_recognition

url, wav = sys.argv[1:3]
os.environ.update(OPENAI_BASE_URL=f"{url}/v1", OPENAI_API_KEY="none")
recognizer = speech_recognition.Recognizer()
with speech_recognition.AudioFile(wav) as source:
    audio = recognizer.record(source)
print(json.dumps({"text": recognizer.recognize_openai(audio)}))
