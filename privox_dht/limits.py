"""Every number with a name, a unit and a reason.

What a stranger can make us do is bounded here and nowhere else. Programs may let their owner
change a number (each such option says so); what both ends must agree on is under `wire`.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# -- wire: both ends must agree ----------------------------------------------------------------

PROTOCOL_VERSION = 1  # in every datagram and record; another version is dropped and counted
MAX_DATAGRAM = 1232  # bytes; the IPv6 minimum MTU of 1280 less 40 (IPv6) and 8 (UDP): no fragments
MAX_RECORD = 512  # bytes, encoded; two fit into one datagram beside its framing
TYPICAL_RECORD = 480  # bytes; a full example must encode to no more than this
MAX_MODELS = 8  # models or voices a record lists; more are said with a flag
MAX_LANGUAGES = 16  # languages a record lists
MAX_ROUTES = 4  # ways to reach a producer: two addresses and two farms
MAX_NAME = 32  # characters of a model, voice or engine name in a record
MAX_SLOTS = 255  # jobs at a time that a record may claim

DHT_PORT = 5678  # UDP for the DHT and, unless told otherwise, TCP for jobs
RELAY_PORT = 1776  # TCP, on farms
GATEWAY_PORT = 5600  # TCP, on loopback

# -- records: how long a word holds ---------------------------------------------------------------

RECORD_LIFETIME = 120.0  # seconds; a producer that crashes is forgotten after this
ANNOUNCE_EVERY = 45.0  # seconds; two announcements may be lost before a record dies
ANNOUNCE_JITTER = 5.0  # seconds to either side, so that producers do not announce in step
ANNOUNCE_AT_MOST_EVERY = 2.0  # seconds between announcements when something that matters changed
CLOCK_SKEW = 30.0  # seconds by which the clocks of two nodes may differ

# -- jobs: what one request may bring -------------------------------------------------------------

MAX_TEXT = 4096  # characters of text to speak in one request, as OpenAI's API has it
MAX_AUDIO_SECONDS = 7200.0  # seconds; two hours, the longest meeting we promise to take
MAX_UPLOAD = 256 * MIB  # bytes; two hours of 16 kHz 16-bit PCM are 220 MiB
MAX_FIELDS = 32  # parts in one multipart form; the API knows about ten
MAX_FIELD = 16 * KIB  # bytes of one text field (the prompt is the longest)
MAX_HEADERS = 16 * KIB  # bytes of request headers, all together
MAX_JSON = 64 * KIB  # bytes of a JSON body; 4,096 characters are at most 24 KiB escaped
MIN_UPLOAD_RATE = 2 * KIB  # bytes per second over a window; slower than a modem is an attack
UPLOAD_WINDOW = 10.0  # seconds over which the upload rate is judged
OFFER_ABOVE = 64 * KIB  # bytes; larger bodies ask first, with `Expect: 100-continue`
SPOOL_IN_MEMORY = 1 * MIB  # bytes of an upload held in memory before it goes to a temporary file
MAX_SPEECH_SECONDS = 1800.0  # seconds of audio one text may become, against voices run wild
MAX_CHANNELS = 8  # audio channels; more is a hostile header
MIN_RATE, MAX_RATE = 4_000, 384_000  # Hz; what real recordings have
DECODE_WALL = 120.0  # seconds of wall time that decoding one upload may take

HEARTBEAT = 1.0  # seconds between comments on a streamed answer while the engine thinks
SILENCE = 4.0  # seconds without a byte from a producer that streams: it is gone
CONNECT_TIMEOUT = 3.0  # seconds for TCP and TLS to a producer, by any one route
OFFER_TIMEOUT = 4.0  # seconds for the answer to an offer (the 100-continue, or the 503)
RETRY_AFTER = 1.0  # seconds a busy producer asks to be left alone
KEEPALIVE = 10.0  # seconds an idle HTTP connection stays open: enough for a follow-up, no more

# -- picking and failing over ---------------------------------------------------------------------

MAX_PRODUCERS = 5  # producers tried for one job, busy ones not counted
MAX_DEATHS = 2  # producers that may die during one job; the job may be what kills them
MAX_BELIEVED = 2  # producers that must agree before a 4xx about the input is believed
BAN_FIRST = 15.0  # seconds a producer that was lost is left alone, doubling each time ...
BAN_LONGEST = 600.0  # ... up to this
WAIT = 60.0  # seconds a client waits by default while everybody is busy
FIND_WANT = 32  # records a look-up asks for
