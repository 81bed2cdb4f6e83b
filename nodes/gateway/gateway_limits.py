"""Numbers of the gateway, each with its unit and its reason; see `privox_dht.limits`."""

from privox_dht.limits import KIB, MAX_RECORDING, MIB

MAX_UPLOAD = MAX_RECORDING  # bytes of one recording, which is kept on disk
MAX_SECONDS = 6 * 3600.0  # seconds of one recording, where its length is known beforehand: a
# long film twice over
QUEUE_WAIT = 60.0  # seconds a request waits for its turn: apps wait for minutes, and some
# do not come back for a day after a rejection
QUEUE_PLACES = 256  # requests that may wait for one service
CONNECTIONS = 2048  # open at a time; plain HTTP costs about 20 KB each, also for a request that is
# rejected with a Retry-After
KEEPALIVE = 75.0  # seconds that an app's idle connection stays open, as in web servers: an app that
# reuses one just when it is closed gets an error
OWN_UPLOAD = 2 * MIB  # bytes of a recording for the node's own engines if there are others: a
# minute of 16 kHz 16-bit sound; many producers do longer ones faster
REFRESH_EVERY = 15.0  # seconds between two look-ups of producers: a third of the time between
# two announcements
REFRESH_WAIT = 3.0  # seconds that a request waits for a look-up while no producer is known
KEY_SECONDS = 3600  # of sound in an hour for a key, unless its line names another number
FORM_KEY_UPLOAD = 30.0  # seconds for a form whose key is one of its fields: until it has come, a
# stranger's form has a turn, too
KEYLESS_SECONDS = 21_600  # of sound in an hour for an address without a key: a household, and
# two films
SHOWN_PRODUCERS = 100  # producers listed on the page; the others are only counted
WYOMING_PORT = 10300  # TCP; Home Assistant's default for speech to text
WYOMING_LINE = 64 * KIB  # bytes of an event without its payload; the longest are texts
WYOMING_PAYLOAD = 1 * MIB  # bytes of sound in one event; a tenth of a second is usual
WYOMING_TEXT = 64 * KIB  # characters of one streamed text: an hour of speech
WYOMING_SILENCE = 600.0  # seconds without an event or a job, until a client is disconnected
WYOMING_CONNECTIONS = 64  # held at once; Home Assistant has one for each job
PRIVOX_WHO = 5.0  # seconds for a client's answer to `who`, and then for its header
PRIVOX_PING = 10.0  # seconds between two pings of a pull producer
PRIVOX_PONG = 5.0  # seconds for its answer to a ping or a header
PRIVOX_STALL = 10.0  # seconds over which the rate of a recording or sound is judged
PRIVOX_RESULT = 120.0  # seconds beside a recording's own for its text: models are loaded each time
PRIVOX_UPLOAD = 64 * MIB  # bytes of a recording or sound: 35 minutes at 16 kHz, kept in memory
PRIVOX_TEXT = 256 * KIB  # bytes of its transcript
PRIVOX_HEADER = 20 * KIB  # bytes of a header, a text to speak included
PRIVOX_CONNECTIONS = 64  # held at once at either port
OPENAI_PCM_RATE = 24_000  # Hz of raw `pcm`, which libraries for OpenAI's API assume
