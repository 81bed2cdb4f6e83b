"""Every number with a name, a unit and a reason.

What a stranger can make us do is bounded here and nowhere else. Programs may let their owner
change a number (each such option says so); what both ends must agree on is under `wire`.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# -- wire: both ends must agree ------------------------------------------------------------------

PROTOCOL_VERSION = 1  # in every datagram and record; another version is dropped and counted
MAX_DATAGRAM = 1232  # bytes; the IPv6 minimum MTU of 1280 less 40 (IPv6) and 8 (UDP): no fragments
MAX_RECORD = 512  # bytes, encoded; two fit into one datagram beside its framing
TYPICAL_RECORD = 480  # bytes; a full example must encode to no more than this
MAX_MODELS = 8  # models or voices a record lists; more are said with a flag
MAX_LANGUAGES = 16  # languages a record lists
MAX_LANGUAGE_TAG = 35  # characters of a language tag: what RFC 5646 (4.4.1) has everybody take
MAX_ROUTES = 4  # ways to reach a producer: two addresses and two farms
MAX_NAME = 32  # characters of a model, voice or engine name in a record
MAX_SLOTS = 255  # jobs at a time that a record may claim

DHT_PORT = 5678  # UDP for the DHT and, unless told otherwise, TCP for jobs
RELAY_PORT = 1776  # TCP, on farms
GATEWAY_PORT = 5600  # TCP, on loopback
GATEWAY_HTTPS_PORT = 5601  # TCP, for browsers of other machines

# -- records: how long a word holds --------------------------------------------------------------

RECORD_LIFETIME = 120.0  # seconds; a producer that crashes is forgotten after this
ANNOUNCE_EVERY = 45.0  # seconds; two announcements may be lost before a record dies
ANNOUNCE_JITTER = 5.0  # seconds to either side, so that producers do not announce in step
ANNOUNCE_AT_MOST_EVERY = 2.0  # seconds between announcements when something that matters changed
CLOCK_SKEW = 30.0  # seconds by which the clocks of two nodes may differ

# -- a private mesh -------------------------------------------------------------------------------

MIN_SECRET = 16  # bytes of its secret: 128 bits, if they are random
MAX_SECRET = 4 * KIB  # bytes; a file that holds more is another one
REPLAY_MEMORY = 65_536  # messages remembered, 7 MB: a minute of 1,000 datagrams a second
REPLAY_SLOT = 5.0  # seconds of messages that are forgotten together
MAX_CLIENT_HELLO = 4 * KIB  # bytes of the first flight of TLS; OpenSSL's has 517 to 1,700

# -- jobs: what one request may bring ------------------------------------------------------------

MAX_TEXT = 4096  # characters of text to speak in one request, as OpenAI's API has it
MAX_BOOK = 2_000_000  # characters of a text that is cut and spoken by many: the longest novels
MAX_PASSAGE = 64 * MIB  # bytes of sound for one part of it: 400 s at 48 kHz are 38 MB
MAX_AUDIO_SECONDS = 7200.0  # seconds; two hours, the longest meeting we promise to take
MAX_UPLOAD = 256 * MIB  # bytes; two hours of 16 kHz 16-bit PCM are 220 MiB
MAX_FIELDS = 32  # parts in one multipart form; the API knows about ten
MAX_FIELD = 16 * KIB  # bytes of one text field (the prompt is the longest)
MAX_HEADERS = 16 * KIB  # bytes of request headers, all together
MAX_JSON = 64 * KIB  # bytes of a JSON body; 4,096 characters are at most 24 KiB escaped
MIN_UPLOAD_RATE = 2 * KIB  # bytes per second over a window; slower than a modem is an attack
UPLOAD_WINDOW = 10.0  # seconds over which the upload rate is judged
CONTENDED_UPLOAD_RATE = 32 * KIB  # bytes per second on average while others wait for a slot: 16 kHz
# 16-bit sound as it is spoken; slower ones come back when there is room
CONTENDED_UPLOAD_GRACE = 1.0  # seconds an upload has before its rate is judged by others' waiting
QUEUE_WAIT = 1.5  # seconds a job may wait for a slot before it is told 503: less than OFFER_TIMEOUT
SHORT_JOB_SECONDS = 10.25  # seconds of sound: a spoken command; one such job has a place beside the
# slots, and goes before longer ones wherever these come to a border. All that SHORT_JOB_BODY holds
# at 16 kHz and 16 bits: a piece of a film that is let in by its bytes is not found too long then
SHORT_JOB_BODY = 320 * KIB  # bytes of its body
SHORT_JOB_AGAIN = 10.0  # seconds a network waits in the queue like others once it sent a longer one
COME_BACK = 1.0  # seconds in which whoever ended a job stands back for others that were turned away
QUEUE_PLACES = 32  # jobs in that queue; each may have brought OFFER_ABOVE bytes already
QUEUE_PLACES_PER_NETWORK = 4  # of those from one network, of the widest kind that is counted
OFFER_ABOVE = 64 * KIB  # bytes; larger bodies ask first, with `Expect: 100-continue`
SPOOL_IN_MEMORY = 1 * MIB  # bytes of an upload held in memory before it goes to a temporary file
MAX_SSML_DEPTH = 32  # elements of SSML within each other; people write five
MAX_BREAK = 10.0  # seconds of one pause in a text, as other services have it
MAX_SPEECH_SECONDS = 1800.0  # seconds of audio one text may become, against voices run wild
MAX_CHANNELS = 8  # audio channels; more is a hostile header
MIN_RATE, MAX_RATE = 4_000, 384_000  # Hz; what real recordings have
DECODE_WALL = 120.0  # seconds of wall time that decoding one upload may take
OPEN_WALL = 10.0  # seconds of these until it is known what the file is; milliseconds are usual

HEARTBEAT = 1.0  # seconds between comments on a streamed answer while the engine thinks
SILENCE = 4.0  # seconds without a byte from a producer that streams: it is gone
CONNECT_TIMEOUT = 3.0  # seconds for TCP and TLS to a producer, by any one route
FIRST_DIAL = 0.6  # of these for a stranger who is the first to be asked, while others are left to
# be probed: two round trips of a quarter of a second, which is far, and a moment
OFFER_TIMEOUT = 4.0  # seconds for the answer to an offer (the 100-continue, or the 503)
RETRY_AFTER = 1.0  # seconds a busy producer asks to be left alone
KEEPALIVE = 10.0  # seconds an idle HTTP connection stays open: enough for a follow-up, no more

# -- picking and failing over --------------------------------------------------------------------

MAX_PRODUCERS = 5  # networks whose producers may fail one job, busy ones not counted
MAX_UNREACHED = 48  # producers that may turn out to be unreachable: three rounds of probing
PROBES_AT_ONCE = 16  # producers probed at the same time, once one of them could not be reached
PROBES_PER_NETWORK = 2  # of these at producers of one network, before others have had their turn
PROBE_TIMEOUT = 4.0  # seconds for the answer to a probe: a connection, and a moment
PROBE_GRACE = 0.1  # seconds that others have to answer a probe when the first has
MAX_ROUTES_DIALLED = 6  # ways to one producer that are dialled: two addresses, and the doors of its
# farms
FALLBACK_WAIT = 3600.0  # seconds for a job at the fallback server, which is silent while it works
MAX_FAILED = 16  # producers that may fail one job when they count as fewer networks
MAX_LOST_DURING_JOB = 3  # networks whose producers may die during one job: it may be what kills
# them, and one home has two, an IPv4 address and an IPv6 /48
PIECE_DEATHS = 2  # producers that may die on a piece of a recording before it is put off
AGREEING_REFUSALS = 3  # networks whose producers must agree before a 4xx about the input is
# believed
DIALS_UNPROVEN = 2  # dials of one job to an address that has not proved to be a producer's
FIRST_OPEN_PORT = 1024  # ports below are other services'; of those only 443 is dialled
RESULT_GRACE = 8.0  # seconds for a first result beside what the work itself takes
RESULT_SLACK = 4.0  # times as long as a producer's own measured speed says its work may take
SLOWEST_SPEED = 0.1  # seconds of audio per second; nobody is waited for as if it were slower
DECODED_PER_SECOND = 1 * MIB  # bytes of a recording that a producer decodes in a second, at least
SPEECH_PER_CHARACTER = 0.1  # seconds of sound that a character of text becomes, about
JOB_DEADLINE = 4 * 3600.0  # seconds for a whole job that was given no time-out: FARM_CALL_SECONDS
MAX_RETURNS = 5  # times that a producer which was lost with a job is given it again
RETURN_POLL = 1.0  # seconds between two looks whether a producer that was lost is back
RETURN_SEARCH = 3.0  # seconds that one such look may spend on finding where it is now
OWN_NETWORK = 1.0  # seconds in which some contact must answer, or our own network is gone
OWN_NETWORK_ASKED = 4  # contacts asked for that
BACKOFF_FIRST = 15.0  # seconds a producer that was lost is left alone, doubling each time ...
BACKOFF_LONGEST = 600.0  # ... up to this
WAIT = 60.0  # seconds a client waits by default while everybody is busy
BACKEND_GRACE = 0.5  # seconds the look-up of one backend has left once the other's found somebody;
# with half of 10,000 nodes dead 95 of 100 take at most 0.56 in all
FIND_WANT = 32  # records a look-up asks for
LIST_WANT = 256  # records that showing the mesh to a person asks for, per service and backend

# -- the speech API: what one connection may hold up, what one answer may bring ------------------

HANDSHAKE_TIMEOUT = 5.0  # seconds for TLS on an accepted connection; callers give up after 3
TLS_SHUTDOWN_TIMEOUT = 1.0  # seconds for the other side to end TLS too; asyncio's 30 keep idle ones
# alive
CONNECTION_WITHOUT_JOB = 10.0  # seconds a connection stays on which no job begins, whatever else it
# asks
MAX_CONNECTIONS = 512  # held at once by a speech server; with TLS one costs about 292 KB
MAX_CONNECTIONS_PER_ADDRESS = 64  # of those from one address; four times that from one /24, as many
# from an IPv6 /56, twice from a /48 (loopback is exempt: it is ours)
UPLOAD_FIRST_BYTE = 5.0  # seconds until the first byte of a body; a slot is held meanwhile
UPLOAD_WALL = 3600.0  # seconds for a whole upload: 256 MiB at 600 kbit/s, the slowest home uplink
UPLOAD_PIECE = 16 * KIB  # bytes a caller hands over at once
WRITE_BUFFER = 32 * KIB  # bytes a caller keeps unsent, so that a stall shows: with what the layers
# below keep, an upload moves in steps of about 64 KiB, in time (SILENCE) at 20 KiB/s and more
LINGER = 1.0  # seconds a refused upload is still read, so that its sender gets to read the answer
ANSWER_STALL = 30.0  # seconds without the client taking a byte of its answer: it has gone away
MAX_PART_HEADERS = 4 * KIB  # bytes of the headers of one multipart part; browsers send about 150
MAX_EVENT = 2 * MIB  # bytes of one event: the text of two hours is about 150 KB
MAX_SEGMENTS = 100_000  # segments in one answer; two hours have a few thousand
MAX_VOICES_ANSWER = 256 * KIB  # bytes of a list of voices; espeak-ng's 141 are about 12 KB
MAX_SPEAKERS = 100  # speakers of one voice in that list; some have a thousand, known by number too
MAX_VOICES = 2000  # voices of one producer that are looked at
VOICES_TIMEOUT = 5.0  # seconds for one producer to list its voices
VOICES_ASKED = 32  # producers asked for all of their voices, at the same time
MAX_ANSWER = 32 * MIB  # bytes of an answer in JSON, words with times included
MAX_ANSWER_AUDIO = 256 * MIB  # bytes of one spoken answer; 30 min at 48 kHz are 165 MiB
MAX_MESSAGE = 400  # characters of a stranger's error message that are passed on
LONGEST_RETRY_AFTER = 60.0  # seconds; a producer cannot talk a caller into waiting longer
PEERS_REMEMBERED = 256  # pinned keys whose connections are kept for a follow-up

# -- the DHT -------------------------------------------------------------------------------------

BUCKET = 20  # contacts in one bucket and nodes that hold a record: Kademlia's k, as bmuller has it
FAR_BUCKET = 8  # contacts in a bucket that is not around our own id: there are many of those
ALPHA = 4  # requests of one look-up in flight while answers still bring closer nodes
LOOKUP_REQUESTS = 200  # requests one look-up may send, whatever strangers keep inventing; with 70 %
# of 1,000 nodes dead one took 128
SHARD_REQUESTS = 400  # more for who wants everybody: of a key that has split each of sixteen shards
# is walked to, which takes some 25
LOOKUP_TIME = 8.0  # seconds one look-up may take: three hard timeouts, with most of the mesh dead
LOOKUP_TIME_PER_RECORD = 0.005  # seconds more for each record that is wanted: ten thousand take 21
MAX_REFLECTION = 5  # bytes sent in vain, at most, to whom an answer named for each it weighed
SOFT_LEAST, SOFT_MOST = 0.1, 1.0  # seconds after which a silent request frees its place
HARD_TIMEOUT = 2.5  # seconds after which a request is lost; a late answer counts until then
RESEND = (0.3, 0.7, 1.2, 1.8)  # seconds after the first sending at which it is sent again
RESEND_NAMED = (0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 1.9)  # likewise, to a neighbour we were told of:
# where 30 of 100 datagrams are lost, UDP_WAIT ends unanswered once in 200 to 430 times, not in 30
FIRST_RTT, FIRST_SPREAD = 0.15, 0.08  # seconds; what is believed before anything was measured
FULL_KEY_WITNESSES = 8  # of the closest nodes: most of them must say that a key is full before it
# is believed
HOLDERS = 2  # holders that must have answered before a look-up believes it has seen enough
GRACE = 0.04  # seconds a look-up with one holder's answer waits for a second one's ...
GRACE_FEW = 0.1  # ... and if that one holds fewer than are wanted
GRACE_SINGLE_HOLDER = 0.25  # seconds more while the very closest have not answered: lies come early
AGREEMENT = 0.8  # share of the fullest holder's records that another must hold to confirm it
QUORUM = 2  # one over the share of the closest nodes that must confirm before publish returns
PAGES = 24  # further requests one look-up may send to holders for more records
MAX_RECORDS_IN_DATAGRAM = 3  # records of one answer; two of the longest fit, three typical ones
MAX_CONTACTS_IN_DATAGRAM = 20  # contacts of one answer: Kademlia's k
AMPLIFICATION = 1.5  # bytes answered per byte asked to an address that has not proven itself
FIND_SIZE = 480  # bytes to which a find is padded: 720 of answer hold a record and eight contacts
FIND_PROOF = 96  # bytes by which a find that asks for proof as well is longer: that takes 140
FIND_CONTACTS_SIZES = (392, 200)  # likewise where only contacts are wanted: 20 or 9 of IPv4
PING_SIZE = 128  # bytes to which a ping is padded: its signed answer takes about 170
CONTACTS_PER_NETWORK = 2  # contacts of one /24 or /56 in a bucket and in a look-up's window
TOKEN_ROTATION = 300.0  # seconds; a write token is good for one to two of these
SOURCE_RATE = 100.0  # datagrams per second and source address that are answered; a join sends 60
SOURCE_BURST = 300.0  # datagrams a source may send at once: one look-up with all its pages
SOURCES = 4096  # source addresses whose rate is remembered
OUTSTANDING = 4096  # requests waiting for an answer, all look-ups together
RECORDS_PER_KEY = 1024  # records a node holds under one key: with SPLIT_AT, three splits in time
RECORDS_PER_SOURCE = 2048  # records one address may place at a node (IPv6: /56, as homes are given)
RECORDS_PER_NETWORK = 4096  # ... and the /24 or /48 around it
RECORDS_PER_KEY_SHARES = (128, 256)  # of them under one key: HOSTED_RECORDS and some; the network.
# A household that has an IPv4 address and a /48 gets a third of RECORDS_PER_KEY
RECORDS_IN_ALL = 100_000  # records a node holds: 65 MB at 650 bytes each
KEYS_IN_ALL = 100_000  # keys a node holds records under
SHARD_BITS = 4  # bits of the publisher's id by which a full key splits: 16 shards
SHARD_DEPTH = 3  # splits at most: 4,096 shards of SPLIT_AT are 1.3 million producers of one service
SPLIT_AT = 320  # records under one key at which it splits: more than one network's share of a key,
# and seven puts a second; a node may stand near several keys
SPLIT_STAYS = 32  # records of which most stand in a shard as well, that keep a key split
SAMPLE = 384  # producers that announce to a key that has split, at once: 8.5 puts a second there
SAMPLE_BETWEEN = 64  # ... and to a shard that has split: they only show the way
SAMPLE_KEPT = 600.0  # seconds after which others are in the sample: four lifetimes of a record
VERIFIED = 16_384  # records whose signature is remembered as good: 1 MB
REMEMBERED = 65_536  # newest sequences remembered, so that a replay is known: 10 MB
CACHED_LOOKUPS = 256  # answers kept
CACHE_FRESH = 10.0  # seconds an answer is used as it is; older ones are refreshed while used
CACHE_WANTED = 120.0  # seconds after its last use for which an answer is refreshed ahead of need
CONTACT_STALE = 600.0  # seconds of silence after which a contact is pinged
SILENT_FOR = 60.0  # seconds; while nobody answers, contacts are waited for that long: most networks
# that went away are back by then, and whoever is pinged every 15 s has been so three times
CONTACT_FAILURES = 2  # unanswered requests in a row after which a contact is forgotten
MET_AGAIN = 16  # neighbours and remembered contacts pinged when no contact answers, every 15 s
REFRESH_EVERY = 15.0  # seconds between rounds of upkeep: expiry, stale contacts, thin buckets
REFRESH_PINGS = 8  # stale contacts pinged in one round
BUCKET_STALE = 3600.0  # seconds without a look-up after which a bucket is looked up, as Kademlia's
# authors have it; every 900 s cost more than all else that 1,000 nodes said, and found no more
PROOF_AGAIN = 60.0  # seconds an address that gave no proof is not asked for one again
INTRODUCTIONS = 16  # newcomers that are being asked for their proof at the same time
CONTACTS_KEPT = 64  # contacts written to the state folder, for each set of neighbours
CONTACT_FILES_KEPT = 32  # sets of neighbours whose contacts are kept; the one used longest ago goes
CONTACTS_KEPT_FOR = 30 * 86_400.0  # seconds; a contact not seen for a month is not tried again
JOIN_TIMEOUT = 5.0  # seconds for the neighbours to answer
GROWN = 1.1  # times as many nodes as there seemed to be at the last announcement: it is made again,
# since in a mesh that fills whoever is the closest to a key today is not tomorrow
GROWN_AFTER = 1.5  # seconds until then: others come too
HANDOVER_KEYS = 256  # keys of ours looked at for one newcomer
HANDOVER_RECORDS = 512  # records given to one newcomer: 200 KB, all else its publishers bring
HANDOVER_RATE, HANDOVER_BURST = 2.0, 64.0  # newcomers per second that are given any, and at once
PUBLISHED_KEPT = 1024  # keys of records we published whose holders are remembered: those of
# HOSTED_RECORDS, nine each, and our own
HOLDERS_LOOKED = 30.0  # seconds after which one of those nodes is asked who has come since
HOLDERS_KEPT = 120.0  # seconds a publisher goes straight to the nodes that held its record
PRIVATE_FOR = 3600.0  # seconds for which one private contact keeps a first node's mesh private
OBSERVERS = 8  # neighbours whose word on our address and on the time is remembered
DIAL_TIMEOUT = 1.5  # seconds a third node waits for a TCP connection when it dials back
DIAL_PROBE_RESEND = (0.3, 0.7)  # seconds after the first at which a probe is sent again ...
DIAL_PROBE_TIMEOUT = 1.2  # ... and after which there is no answer to it, and nothing more is tried
DIAL_ANSWER = 3.5  # seconds the asker waits for a verdict: probe, TCP, and three ways
DIAL_REFERRED = 3.0  # seconds a helper waits for the third node's word: probe, TCP and two ways
DIAL_HELPERS = 6  # pairs of helper and third node, or lone witnesses, asked at most
DIAL_AGREE = 2  # verdicts that must agree, where more than one can be had
DIAL_SAME_TARGET = 10.0  # seconds between two dial-backs of one node to one address
DIAL_RATE = 10.0  # dial-backs per second one node does, all askers together: TCP is tried only at
# an address and port that has answered, and twenty machines may start in the same second
DIAL_BURST = 40.0  # dial-backs at once
RESERVED = 4  # contacts a new node leaves alone until it was dialled back from them
RESERVED_FOR = 60.0  # seconds after which they are ordinary contacts, dialled back or not

# -- relay: farms, the producers parked at them, and calls through them --------------------------

FARM_PRODUCERS = 5_000  # producers at one farm; 20,000 connections, which one process carries
SIDE_FARM_PRODUCERS = 100  # at a node that relays beside other things: 400 connections ...
SIDE_FARM_BUFFERED = 32 * MIB  # ... and bytes held for slow readers
FARM_IDLE_LINES = 3  # parked lines per producer: a burst of calls finds one while others are parked
FARM_LINES = 64  # lines per producer, calls included: twice what one client address can claim
FARM_PRODUCERS_PER_ADDRESS = 8  # of one network (`quotas`): a household or small office
FARM_CALLS_PER_ADDRESS = 32  # of one network: a busy gateway
FARM_LINES_PER_ADDRESS = 16  # calls of one network to one producer: a home has an IPv4 address and
# an IPv6 /48, and 16 and 32 are less than FARM_LINES: others get through
FARM_CALL_BYTES = 512 * MIB  # bytes of one call, both ways: the largest upload twice over
FARM_CALL_SECONDS = 4 * 3600  # seconds of one call: two hours of audio, uploaded and heard in two
FARM_BUFFERED = 256 * MIB  # bytes a farm holds for all slow readers together
FARM_HANDSHAKES = 4096  # connections that have not yet said what they are: thousands may come back
FARM_HANDSHAKES_PER_ADDRESS = 128  # of those from one address: 8 producers parking everything at
# once
FARM_FILES = 65_536  # file descriptors a farm asks the system for; more is refused on many systems
FARM_FILE_RESERVE = 64  # descriptors kept for running calls and for the rest of the process
FARM_BACKLOG = 1024  # connections the kernel holds for us: thousands come back at once
FARM_DRAIN = 30.0  # seconds a farm that stops lets running calls go on
FARM_TICK = 0.25  # seconds between two looks at what is overdue
FARM_PROGRESS_CHECK = 1.0  # seconds between two looks at what readers have taken
SPLICE_CHUNK = 128 * KIB  # bytes read at a time, and so the most a farm holds per direction

RELAY_HEAD = 4 * KIB  # bytes of the first lines of a connection to a farm
RELAY_HEAD_WAIT = 5.0  # seconds until a connection has said, and proved, what it is
RELAY_LINE = 512  # bytes of one line on a control line; the longest is 228
RELAY_PING = 10.0  # seconds between pings, both ways; also keeps NAT mappings open
RELAY_SILENCE = 15.0  # seconds without a word on a control line: the other side is dead or frozen
RELAY_FIRST_BYTE = 3.0  # seconds a call may stay silent before it loses its line
RELAY_HANDSHAKE = 5.0  # seconds from a claim to a finished TLS handshake
RELAY_STALL = 10.0  # seconds in which a reader takes no byte of what waits for it
RELAY_LINGER = 2.0  # seconds one side may stay on after the other hung up and all was delivered
RELAY_UNACKED = 8.0  # seconds in which the other machine acknowledges nothing on what is parked: it
# is gone, or one of us has another address. One that is frozen still acknowledges
RELAY_KEEPALIVE = (5, 1, 5)  # seconds idle, seconds between probes, probes: dead after 10 s
RELAY_FLAPS = 3  # times in RELAY_FLAP_WINDOW that one key may move to another machine
RELAY_FLAP_WINDOW = 60.0  # seconds

PRODUCER_FARMS = 2  # farms a producer parks at: one may die without anybody noticing
PRODUCER_LINES = 64  # lines to one farm at a time, calls included; 290 KB each while in a call
PRODUCER_IDLE_LINES = 8  # parked lines to one farm, however many it asks for
PRODUCER_DIAL = 3.0  # seconds for a TCP connection to a farm
PRODUCER_ROUND = 0.5  # seconds over which producers that lost a farm spread their first attempts
PRODUCER_BACKOFF = (1.0, 10.0)  # seconds after the first round in which every farm failed, and most
PRODUCER_LINE_BACKOFF = (0.2, 5.0)  # seconds before parking again after a line that died idle
PRODUCER_FARMS_LOOKUP = 5.0  # seconds to find out which farms there are; then the old list must do
PRODUCER_SUPERSEDED = 3600.0  # seconds a farm is left alone where another machine has our place
PRODUCER_SEARCH_FIRST = 1.0  # seconds to the next look where there is no farm yet, doubling ...
PRODUCER_SEARCH_AGAIN = 15.0  # seconds between looks for more farms while there are too few
PRODUCER_MAX_RETRY_AFTER = 600.0  # seconds a farm may send a producer away for

# -- the gateway: ordinary apps of this machine, served from the mesh ------------------------------

GATEWAY_UPLOAD = 2 * GIB  # bytes of one recording: six hours of 44.1 kHz 16-bit mono are 1.8
GATEWAY_SECONDS = 6 * 3600.0  # seconds of one recording, where its length is known beforehand: a
# long film twice over
GATEWAY_QUEUE_WAIT = 60.0  # seconds a request waits for its turn: apps wait for minutes, and some
# leave a server that sent them away alone for a day
GATEWAY_QUEUE_PLACES = 256  # requests that wait for one service
GATEWAY_CONNECTIONS = 2048  # held at once; plain HTTP costs some 20 KB for one. Who finds no place
# hears when there will be one, which takes a connection, too
GATEWAY_KEEPALIVE = 75.0  # seconds that an app's idle connection stays, as web servers have it: one
# that ends in the moment in which it is used again is an error to the app
GATEWAY_OWN_UPLOAD = 2 * MIB  # bytes that the node's own engines take while others are there: a
# minute of 16 kHz 16-bit sound; of what is longer, many producers make less
GATEWAY_LOOK_EVERY = 15.0  # seconds between two looks at who is on the mesh: a third of the time
# between two announcements
GATEWAY_LOOK = 3.0  # seconds that a request waits for such a look while nobody is known
NOT_LENT_RETRY = (
    60.0  # seconds a producer asks to be left alone that does not lend, and does not know
)
# until when: its owner is at work, or on a train
NOT_LENT_LONGEST = (
    3600.0  # seconds, where it knows: more is told as so much, since he may change his mind
)
GATEWAY_KEY_SECONDS = 3600  # of sound that a key may bring in an hour, unless it says otherwise
GATEWAY_KEYLESS_SECONDS = 21_600  # of sound in an hour from an address that brings no key: what a
# household says and hears, and two films
GATEWAY_RECENT_JOBS = 30  # jobs that its page lists: more than a screen has lines
GATEWAY_SHOWN_PRODUCERS = 100  # producers that its page lists; of the others it tells how many
WYOMING_PORT = 10300  # TCP; where Home Assistant looks for speech to text
WYOMING_LINE = 64 * KIB  # bytes of an event without its payload; the longest are texts
WYOMING_PAYLOAD = 1 * MIB  # bytes of sound in one event; a tenth of a second is usual
WYOMING_TEXT = 64 * KIB  # characters of one streamed text: an hour of speech
WYOMING_SILENCE = 600.0  # seconds without an event, while nothing is done for it either
WYOMING_CONNECTIONS = 64  # held at once; Home Assistant has one for each job
PRIVOX_WHO = 5.0  # seconds until whoever calls has said what it is, and then what it wants
PRIVOX_PING = 10.0  # seconds between two looks whether a pull producer is there
PRIVOX_PONG = 5.0  # seconds for its answer, to a header, too
PRIVOX_STALL = 10.0  # seconds in which the next byte of a recording or sound must come
PRIVOX_RESULT = 120.0  # seconds beside a recording's own for its text: models are loaded each time
PRIVOX_UPLOAD = 64 * MIB  # bytes of a recording or sound: 35 minutes at 16 kHz, kept in memory
PRIVOX_TEXT = 256 * KIB  # bytes of a text that was heard in it
PRIVOX_HEADER = 20 * KIB  # bytes of a header, a text to speak included
PRIVOX_CONNECTIONS = 64  # held at once at either port
OPENAI_PCM_RATE = 24_000  # Hz of raw `pcm`: what the libraries for OpenAI's API take it for

# -- neighbours in the local network -------------------------------------------------------------

LAN_KNOWN = 1024  # announcements that are remembered: four of each address of a /24
LAN_KNOWN_PER_ADDRESS = 4  # of these of one address; a machine seldom has two nodes
LAN_ADDRESSES = 4  # addresses of one announcement that are looked at
LAN_DIALS = 16  # of all that are known, tried at a time
LAN_ASKED_AT_ONCE = 16  # announcements whose addresses are asked for at the same time
LAN_ANSWER = 1.5  # seconds for these; a machine that sleeps does not answer
LAN_WAIT = 3.0  # seconds that a client waits for an announcement: they are asked for twice by then
LAN_GRACE = 0.2  # seconds in which others may answer, once one has

# -- the directory over HTTPS, for those whose network blocks UDP --------------------------------

UDP_WAIT = 2.0  # seconds without an answer by UDP after which HTTPS is tried beside it
UDP_SILENT = 60.0  # seconds in which nothing that was asked by UDP is answered: longer than the
# time between two announcements; then HTTPS is tried
UDP_RETRY_MAX = 180.0  # seconds between tries whether UDP answers again, at most ...
UDP_RETRY_FIRST = 5.0  # ... and before the first, each wait twice the last: it may have been loss
HTTPS_NEIGHBOURS = 8  # neighbours asked at the same time; each costs a TLS handshake
HTTPS_BUSY = 2.0  # seconds to wait, once, when every neighbour was busy
RESOLVER_TIMEOUT = 10.0  # seconds for an answer: a look-up (LOOKUP_TIME) and the way there and back
RESOLVER_RATE = 5.0  # requests per second of one address (IPv6: /56); a job needs three, a list
# five
RESOLVER_BURST = 50.0  # requests of one address at once: a small office after a power cut
RESOLVER_RATE_IN_ALL = 20.0  # requests per second: walks for others stay below what we may ask each
# node ourselves (SOURCE_RATE), with room for our own
RESOLVER_BURST_IN_ALL = 100.0  # requests at once, all askers together
RESOLVER_LOOKUPS_AT_ONCE = 16  # look-ups for others at the same time
HOSTED_RECORDS = 100  # records placed for others: with nine keys each they are half of what our
# address may place at one node (RECORDS_PER_SOURCE)
HOSTED_RATE = 1.0  # records per second of one address: eight busy producers now and then
HOSTED_BURST = 20.0  # records of one address at once: all of HOSTED_PER_ADDRESS, and some again
HOSTED_RATE_IN_ALL = 3.0  # records per second: HOSTED_RECORDS every 45 s; with nine keys each they
# are half of what we may ask of each node in a small mesh (SOURCE_RATE)
HOSTED_BURST_IN_ALL = 30.0  # records at once, all askers together
HOSTED_PER_ADDRESS = 16  # of those from one address: eight producers with two engines each
MAX_PAGE = 192 * KIB  # bytes of one answer: LIST_WANT of the longest records are 129 KiB
