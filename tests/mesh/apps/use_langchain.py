"""langchain-community's parser of recordings by Whisper. `python use_langchain.py URL WAV`."""

import contextlib
import json
import sys

from langchain_community.document_loaders.parsers.audio import OpenAIWhisperParser
from langchain_core.documents.base import Blob

url, wav = sys.argv[1:3]
parser = OpenAIWhisperParser(api_key="none", base_url=f"{url}/v1")
with contextlib.redirect_stdout(sys.stderr):  # it tells what it is about
    documents = parser.parse(Blob.from_path(wav))
print(json.dumps({"text": " ".join(document.page_content for document in documents)}))
