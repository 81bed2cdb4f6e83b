"""Numbers of the DHT, each with its unit and its reason; see `privox_dht.limits`."""

BUCKET = 20  # contacts in one bucket and nodes that hold a record: Kademlia's k, as bmuller has it
FAR_BUCKET = 8  # contacts in a bucket that is not around our own id: there are many of those
ALPHA = 4  # requests of one look-up in flight while answers still bring closer nodes
LOOKUP_REQUESTS = 200  # requests one look-up may send, however many nodes strangers invent; with
# 70 % of 1,000 nodes dead one took 128
SHARD_REQUESTS = 400  # more for a client that wants all records: the walk to each of the sixteen
# shards of a key that has split takes some 25
LOOKUP_TIME = 8.0  # seconds one look-up may take: three hard timeouts, with most of the mesh dead
LOOKUP_TIME_PER_RECORD = 0.005  # seconds more for each record that is wanted: ten thousand take 21
MAX_REFLECTION = 5  # bytes sent to silent nodes that an answer named, for each byte of the answer
SOFT_LEAST, SOFT_MOST = 0.1, 1.0  # seconds after which a silent request frees its place
HARD_TIMEOUT = 2.5  # seconds after which a request is lost; a late answer counts until then
RESEND = (0.3, 0.7, 1.2, 1.8)  # seconds after the first sending at which it is sent again
RESEND_NAMED = (0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 1.9)  # likewise, to a neighbour that was given:
# where 30 of 100 datagrams are lost, UDP_WAIT ends unanswered once in 200 to 430 times, not in 30
FIRST_RTT, FIRST_SPREAD = 0.15, 0.08  # seconds; assumed until something was measured
FULL_KEY_WITNESSES = 8  # of the closest nodes: most of them must say that a key is full before it
# is believed
HOLDERS = 2  # holders that must have answered before a look-up believes it has seen enough
GRACE = 0.04  # seconds a look-up with one holder's answer waits for a second one's ...
GRACE_FEW = 0.1  # ... and if that one holds fewer than are wanted
GRACE_SINGLE_HOLDER = 0.25  # seconds more while the very closest have not answered: lies come early
AGREEMENT = 0.8  # share of the fullest holder's records that another must hold to confirm it
HOLDER_REACH = 2.0  # distance from a key within which a holder is believed, in distances that the
# twentieth node should have: each walk leaves copies with nodes that only seemed to be near
FEW_REACH = 0.75  # share of it for holders of fewer idle records than are wanted
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
SAMPLE = 288  # producers that announce to a key that has split, at once: nearly always enough for
# LIST_WANT, and 6.4 puts a second there
SAMPLE_BETWEEN = 64  # ... and to a shard that has split: they only show the way
SAMPLE_KEPT = 600.0  # seconds after which others are in the sample: four lifetimes of a record
REMEMBERED = 65_536  # records remembered, to know replays and verified signatures: 2 MB
CACHED_LOOKUPS = 256  # answers kept
CACHE_FRESH = 10.0  # seconds an answer is used as it is; older ones are refreshed while used
CACHE_WANTED = 120.0  # seconds after its last use for which an answer is refreshed ahead of need
CONTACT_STALE = 600.0  # seconds of silence after which a contact is pinged
SILENT_FOR = 60.0  # seconds for which contacts are waited for while none answers: most networks are
# back by then, and a contact that is pinged every 15 s was pinged three times
CONTACT_FAILURES = 2  # unanswered requests in a row after which a contact is forgotten
MET_AGAIN = 16  # neighbours and remembered contacts pinged when no contact answers, every 15 s
REFRESH_EVERY = 15.0  # seconds between rounds of upkeep: expiry, stale contacts, thin buckets
REFRESH_PINGS = 8  # stale contacts pinged in one round
BUCKET_STALE = 3600.0  # seconds without a look-up after which a bucket is looked up, as Kademlia's
# authors have it; every 900 s cost more than all else that 1,000 nodes said, and found no more
PROOF_AGAIN = 30.0  # seconds an address that gave no proof is not asked for one again
INTRODUCTIONS = 16  # new nodes that are asked for their proof at the same time
CONTACTS_KEPT = 64  # contacts written to the state folder, for each set of neighbours
CONTACT_FILES_KEPT = 32  # sets of neighbours whose contacts are kept; the one used longest ago goes
CONTACTS_KEPT_FOR = 30 * 86_400.0  # seconds; a contact not seen for a month is not tried again
JOIN_TIMEOUT = 5.0  # seconds for the neighbours to answer
GROWN = 1.1  # times as many nodes as before, by our estimate: records are then published
# again, since new nodes stand closer to their keys
GROWN_AFTER = 1.5  # seconds until then: more nodes join meanwhile
HANDOVER_KEYS = 256  # keys of ours looked at for one newcomer
HANDOVER_RECORDS = 512  # records given to one newcomer: 200 KB; publishers bring the others
HANDOVER_RATE, HANDOVER_BURST = 2.0, 64.0  # newcomers per second that are given any, and at once
PUBLISHED_KEPT = 1024  # keys of records we published whose holders are remembered: those of
# HOSTED_RECORDS, nine each, and our own
HOLDERS_LOOKED = 30.0  # seconds after which one of those nodes is asked for closer new nodes
HOLDERS_KEPT = 120.0  # seconds a publisher goes straight to the nodes that held its record
PRIVATE_FOR = 3600.0  # seconds for which one private contact keeps a first node's mesh private
OBSERVERS = 8  # neighbours whose observation of our address and of the time is remembered
DIAL_TIMEOUT = 1.5  # seconds a third node waits for a TCP connection when it dials back
DIAL_PROBE_RESEND = (0.3, 0.7)  # seconds after the first at which a probe is sent again ...
DIAL_PROBE_TIMEOUT = 1.2  # ... and after which there is no answer to it, and nothing more is tried
DIAL_RESEND = (0.5, 1.2, 2.0)  # seconds after the first at which a dial-back is asked for again
DIAL_ANSWER = 3.5  # seconds the requester waits for a verdict: probe, TCP, and three ways
DIAL_REFERRED = 3.0  # seconds a helper waits for the third node's verdict: probe, TCP and two ways
DIAL_HELPERS = 6  # pairs of helper and third node, or lone witnesses, asked at most
DIAL_AGREE = 2  # verdicts that must agree, where more than one can be had
DIAL_SAME_TARGET = 10.0  # seconds between two dial-backs of one node to one address
DIAL_RATE = 10.0  # dial-backs per second one node does, all together: TCP is tried only at
# an address and port that has answered, and twenty machines may start in the same second
DIAL_BURST = 40.0  # dial-backs at once
RESERVED = 4  # contacts a new node leaves alone until it was dialled back from them
RESERVED_FOR = 60.0  # seconds after which they are ordinary contacts, dialled back or not

# -- what a node does for those who cannot use UDP -------------------------------------------------

RESOLVER_RATE = 5.0  # requests per second of one address (IPv6: /56); a job needs three, a list
# five
RESOLVER_BURST = 50.0  # requests of one address at once: a small office after a power cut
RESOLVER_RATE_IN_ALL = 20.0  # requests per second: walks for others stay below what we may ask each
# node ourselves (SOURCE_RATE), with room for our own
RESOLVER_BURST_IN_ALL = 100.0  # requests at once, all requesters together
RESOLVER_LOOKUPS_AT_ONCE = 16  # look-ups for others at the same time
HOSTED_RECORDS = 100  # records placed for others: with nine keys each they are half of what our
# address may place at one node (RECORDS_PER_SOURCE)
HOSTED_RATE = 1.0  # records per second of one address: eight busy producers now and then
HOSTED_BURST = 20.0  # records of one address at once: all of HOSTED_PER_ADDRESS, and some again
HOSTED_RATE_IN_ALL = 3.0  # records per second: HOSTED_RECORDS every 45 s; with nine keys each they
# are half of what we may ask of each node in a small mesh (SOURCE_RATE)
HOSTED_BURST_IN_ALL = 30.0  # records at once, all requesters together
HOSTED_PER_ADDRESS = 16  # of those from one address: eight producers with two engines each
