"""Numbers that several parts share, each with a name, a unit and a reason.

The limits on what strangers can do are here and in three other files: `dht/dht_limits`,
`relay/relay_limits`, and `gateway_limits` in nodes/gateway. Some can be changed by options of the
programs; those on which both ends must agree are under `wire`.
"""

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# -- wire: both ends must agree ------------------------------------------------------------------

PROTOCOL_VERSION = 1  # in every datagram and record; another version is dropped and counted
MAX_DATAGRAM = 1232  # bytes; the IPv6 minimum MTU of 1280 less 40 (IPv6) and 8 (UDP): no fragments
MAX_RECORD = 512  # bytes, encoded; two fit into one datagram beside its framing
TYPICAL_RECORD = 480  # bytes; a full example must encode to no more than this
MAX_MODELS = 8  # models or voices a record lists; a flag tells that there are more
MAX_LANGUAGES = 16  # languages a record lists
MAX_LANGUAGE_TAG = 35  # characters of a language tag: RFC 5646 (4.4.1) requires as many
MAX_ROUTES = 4  # ways to reach a producer: two or three addresses, and farms
MAX_NAME = 32  # characters of a model, voice or engine name in a record
MAX_SLOTS = 255  # jobs at a time that a record may claim
RELAY_LINE = 512  # bytes of one message on a control line; the longest has 228

DHT_PORT = 5678  # UDP for the DHT and, by default, TCP for jobs
RELAY_PORT = 1776  # TCP, on farms
GATEWAY_PORT = 5600  # TCP, on loopback
GATEWAY_HTTPS_PORT = 5601  # TCP, for browsers of other machines
SOURCES = 4096  # source addresses whose rate is remembered

# -- records: how long they are valid ------------------------------------------------------------

RECORD_LIFETIME = 120.0  # seconds; a producer that crashes is forgotten after this
ANNOUNCE_EVERY = 45.0  # seconds; two announcements may be lost before a record expires
ANNOUNCE_JITTER = 5.0  # seconds to either side, so that producers do not announce in step
ANNOUNCE_AT_MOST_EVERY = 2.0  # seconds between announcements when the records change
CLOCK_SKEW = 30.0  # seconds by which the clocks of two nodes may differ

# -- a private mesh -------------------------------------------------------------------------------

MIN_SECRET = 16  # bytes of its secret: 128 bits, if they are random
MAX_SECRET = 4 * KIB  # bytes; a larger file is not a secret
REPLAY_MEMORY = 65_536  # messages remembered, 7 MB: a minute of 1,000 datagrams a second
REPLAY_SLOT = 5.0  # seconds of messages that are forgotten together
MAX_CLIENT_HELLO = 4 * KIB  # bytes of the first flight of TLS; OpenSSL's has 517 to 1,700

# -- jobs: what one request may bring ------------------------------------------------------------

MAX_TEXT = 4096  # characters of text to speak in one request, as OpenAI's API has it
MAX_BOOK = 2_000_000  # characters of a text that several producers speak: the longest novels
MAX_PASSAGE = 64 * MIB  # bytes of sound for one part of it: 400 s at 48 kHz are 38 MB
MAX_AUDIO_SECONDS = 7200.0  # seconds; two hours, the longest meeting that is accepted
MAX_UPLOAD = 256 * MIB  # bytes; two hours of 16 kHz 16-bit PCM are 220 MiB
MAX_RECORDING = (
    2 * GIB
)  # bytes of one that is scattered, where it has to be kept on disk first: six
# hours of 44.1 kHz 16-bit mono are 1.8
MAX_FIELDS = 32  # parts in one multipart form; the API knows about ten
MAX_FIELD = 16 * KIB  # bytes of one text field (the prompt is the longest)
MAX_HEADERS = 16 * KIB  # bytes of request headers, all together
MAX_JSON = 64 * KIB  # bytes of a JSON body; 4,096 characters are at most 24 KiB escaped
MIN_UPLOAD_RATE = 2 * KIB  # bytes per second over a window; anything slower is an attack
UPLOAD_WINDOW = 10.0  # seconds over which the upload rate is judged
CONTENDED_UPLOAD_RATE = 32 * KIB  # bytes per second on average while others wait for a slot: 16 kHz
# 16-bit sound in real time; slower uploads are rejected until there is room
CONTENDED_UPLOAD_GRACE = 1.0  # seconds before an upload is held to that rate
QUEUE_WAIT = 1.5  # seconds a job may wait for a slot until it gets a 503: less than OFFER_TIMEOUT
SHORT_JOB_SECONDS = 10.25  # seconds of sound: a spoken command. One such job runs beside the slots,
# and before longer ones whenever these finish a segment. As long as SHORT_JOB_BODY at 16 kHz and 16
# bits, so that what is admitted by its size is not too long once it is decoded
SHORT_JOB_BODY = 320 * KIB  # bytes of its body
SHORT_JOB_AGAIN = 10.0  # seconds a network has no extra slot after it sent a longer one there
COME_BACK = 1.0  # seconds after a client's job in which rejected ones go first
QUEUE_PLACES = 32  # jobs in that queue; each may have sent OFFER_ABOVE bytes already
QUEUE_PLACES_PER_NETWORK = 4  # of those from one network, of the widest kind that is counted
OFFER_ABOVE = 64 * KIB  # bytes; larger bodies ask first, with `Expect: 100-continue`
SPOOL_IN_MEMORY = 1 * MIB  # bytes of an upload held in memory before it goes to a temporary file
MAX_SSML_DEPTH = 32  # elements of SSML within each other; people write five
MAX_BREAK = 10.0  # seconds of one pause in a text, as other services have it
MAX_SPEECH_SECONDS = 1800.0  # seconds of audio one text may become, in case a voice never ends
MAX_CHANNELS = 8  # audio channels; more is a hostile header
MIN_RATE, MAX_RATE = 4_000, 384_000  # Hz; what real recordings have
DECODE_TIMEOUT = 120.0  # seconds of wall time that decoding one upload may take
OPEN_TIMEOUT = 10.0  # seconds of these until the file's format is known; usually milliseconds

HEARTBEAT = 1.0  # seconds between comments on a streamed answer while the engine works
SILENCE = 4.0  # seconds without a byte from a producer that streams: it counts as lost
CONNECT_TIMEOUT = 3.0  # seconds for TCP and TLS to a producer, by any one route
FIRST_DIAL = 0.6  # of these for the first producer that is dialled, if it is unknown and there are
# others to probe: two round trips to the other side of the world, and a margin
OFFER_TIMEOUT = 4.0  # seconds for the answer to an offer (the 100-continue, or the 503)
RETRY_AFTER = 1.0  # seconds: the Retry-After of a busy producer
KEEPALIVE = 10.0  # seconds an idle HTTP connection stays open: enough for a follow-up, no more
NOT_LENT_RETRY = 60.0  # seconds: the Retry-After of a producer that does not lend now and cannot
# tell until when, since its owner is at work or the battery is low
NOT_LENT_RETRY_MAX = 3600.0  # seconds: the longest Retry-After where it can tell until when; its
# owner may lend earlier

# -- picking and failing over --------------------------------------------------------------------

MAX_PRODUCERS = 5  # networks whose producers may fail one job, busy ones not counted
MAX_UNREACHED = 48  # producers that may turn out to be unreachable: three rounds of probing
PROBES_AT_ONCE = 16  # producers probed at the same time, once one of them could not be reached
PROBES_PER_NETWORK = 2  # of these at producers of one network, before those of others are probed
PROBE_TIMEOUT = 4.0  # seconds for the answer to a probe: a connection, and a moment
PROBE_GRACE = 0.1  # seconds for other answers to a probe after the first
MAX_ROUTES_DIALLED = 6  # ways to one producer that are dialled: two addresses, and the addresses of
# its farms
FALLBACK_WAIT = 3600.0  # seconds for a job at the fallback server, which sends nothing meanwhile
MAX_FAILED = 16  # producers that may fail one job when they count as fewer networks
MAX_LOST_DURING_JOB = 3  # networks whose producers may die during one job: it may be what kills
# them, and one home has two, an IPv4 address and an IPv6 /48
PIECE_TEXT = 8 * KIB  # characters in the transcript of a piece of a recording: the fastest speech
# has 900 in half a minute, and an engine that repeats itself wrongly some 2,000
PIECE_DEATHS = 2  # producers that may die on a piece of a recording before it is postponed
AGREEING_REFUSALS = 3  # networks whose producers must agree before a 4xx about the input is
# believed
DIALS_UNPROVEN = 2  # dials of one job to an address that has not proved to be a producer's
FIRST_OPEN_PORT = 1024  # ports below are other services'; of those only 443 is dialled
RESULT_GRACE = 8.0  # seconds for a first result, beyond the time for the work itself
RESULT_SLACK = 4.0  # times as long as it takes at a producer's published speed, its work may take
SLOWEST_SPEED = 0.1  # seconds of audio per second; a lower published speed counts as this
DECODED_PER_SECOND = 1 * MIB  # bytes of a recording that a producer decodes in a second, at least
SPEECH_PER_CHARACTER = 0.1  # seconds of sound for a character of text, about
JOB_DEADLINE = 4 * 3600.0  # seconds for a job without a time-out of its own: FARM_CALL_SECONDS
MAX_RETURNS = 5  # times that a job is given again to a producer that was lost with it
RETURN_POLL = 1.0  # seconds between two checks whether a lost producer is back
RETURN_SEARCH = 3.0  # seconds that one such check may take to find the producer's new address
REDIAL = (2.0, 10.0)  # seconds until an address that did not answer is dialled again while a job
# waits: the first time, doubling, and at most; nine times within WAIT
OWN_NETWORK = 1.0  # seconds in which a contact must answer, or our own network counts as down
OWN_NETWORK_ASKED = 4  # contacts that are pinged for that
BACKOFF_FIRST = 15.0  # seconds until a lost producer is used again, doubling each time ...
BACKOFF_LONGEST = 600.0  # ... up to this
WAIT = 60.0  # seconds a client waits by default while all producers are busy
BACKEND_GRACE = 0.5  # seconds the look-up of one backend has left once the other's found a record;
# with half of 10,000 nodes dead 95 of 100 take at most 0.56 in all
FIND_WANT = 32  # records a look-up asks for
LIST_WANT = 256  # records that a listing of the mesh asks for, per service and backend

# -- the speech API: what one connection may hold up, what one answer may bring ------------------

HANDSHAKE_TIMEOUT = 5.0  # seconds for TLS on an accepted connection; callers give up after 3
TLS_SHUTDOWN_TIMEOUT = 1.0  # seconds for the other side to end TLS too; asyncio's 30 keep idle ones
# alive
CONNECTION_WITHOUT_JOB = 10.0  # seconds until a connection on which no job begins is closed,
# whatever else it requests
MAX_CONNECTIONS = 512  # held at once by a speech server; with TLS one costs about 292 KB
MAX_CONNECTIONS_PER_ADDRESS = 64  # of those from one address; four times that from one /24, as many
# from an IPv6 /56, twice from a /48 (loopback is exempt: it is ours)
UPLOAD_FIRST_BYTE = 5.0  # seconds until the first byte of a body; a slot is held meanwhile
UPLOAD_WALL = 3600.0  # seconds for a whole upload: 256 MiB at 600 kbit/s, the slowest home uplink
UPLOAD_PIECE = 16 * KIB  # bytes a caller hands over at once
WRITE_BUFFER = 32 * KIB  # bytes a caller keeps unsent, so that a stall shows: with what the layers
# below keep, an upload moves in steps of about 64 KiB, in time (SILENCE) at 20 KiB/s and more
LINGER = 1.0  # seconds a refused upload is still read, so that its sender gets to read the answer
ANSWER_STALL = 30.0  # seconds without the client reading a byte of its answer: it counts as gone
MAX_PART_HEADERS = 4 * KIB  # bytes of the headers of one multipart part; browsers send about 150
MAX_EVENT = 2 * MIB  # bytes of one event: the text of two hours is about 150 KB
MAX_SEGMENTS = 100_000  # segments in one answer; two hours have a few thousand
MAX_VOICES_ANSWER = 256 * KIB  # bytes of a list of voices; espeak-ng's 141 are about 12 KB
MAX_SPEAKERS = 100  # speakers of one voice in that list; some have a thousand, known by number too
MAX_VOICES = 2000  # voices of one producer that are read
VOICES_TIMEOUT = 5.0  # seconds for one producer to list its voices
VOICES_ASKED = 32  # producers asked for all of their voices, at the same time
MAX_ANSWER = 32 * MIB  # bytes of an answer in JSON, words with times included
MAX_ANSWER_AUDIO = 256 * MIB  # bytes of one spoken answer; 30 min at 48 kHz are 165 MiB
MAX_MESSAGE = 400  # characters of a stranger's error message that are passed on
LONGEST_RETRY_AFTER = 60.0  # seconds; a longer Retry-After of a producer counts as this
PEERS_REMEMBERED = 256  # pinned keys whose connections are kept for a follow-up

# -- neighbours in the local network -------------------------------------------------------------

LAN_KNOWN = 1024  # announcements that are remembered: four of each address of a /24
LAN_KNOWN_PER_ADDRESS = 4  # of these of one address; a machine seldom has two nodes
LAN_ADDRESSES = 4  # addresses of one announcement that are used
LAN_DIALS = 16  # of all known ones, contacted at a time
LAN_ASKED_AT_ONCE = 16  # announcements whose addresses are asked for at the same time
LAN_ANSWER = 1.5  # seconds for these; a machine that sleeps does not answer
LAN_WAIT = 3.0  # seconds that a client waits for an announcement: two queries are sent by then
LAN_GRACE = 0.2  # seconds for other answers after the first

# -- the directory over HTTPS, for those whose network blocks UDP --------------------------------

UDP_WAIT = 2.0  # seconds without an answer by UDP after which HTTPS is tried beside it
UDP_SILENT = 60.0  # seconds without any answer to requests by UDP, after which HTTPS is tried:
# longer than the time between two announcements
UDP_RETRY_MAX = 180.0  # seconds between tries whether UDP answers again, at most ...
UDP_RETRY_FIRST = 5.0  # ... and before the first, each wait twice the last: it may have been loss
HTTPS_NEIGHBOURS = 8  # neighbours asked at the same time; each costs a TLS handshake
HTTPS_BUSY = 2.0  # seconds to wait, once, when every neighbour was busy
RESOLVER_TIMEOUT = 10.0  # seconds for an answer: a look-up (LOOKUP_TIME) and the way there and back
MAX_PAGE = 192 * KIB  # bytes of one answer: LIST_WANT of the longest records are 129 KiB
