"""A producer behind a NAT: lines parked at farms, over which clients reach it.

farm_selection  which farms to dial, and when. Pure
farm_pool       sessions at several farms at a time
session         one session at one farm: handshake, control line, lines
line            one parked connection, until it is handed to the HTTP server
"""
