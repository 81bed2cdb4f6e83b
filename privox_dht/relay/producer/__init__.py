"""A producer behind a NAT: lines parked at farms, over which clients reach it.

farm_selection  which farms to dial, and when. Pure
farm_pool       sessions at several farms at a time
session         with one farm: handshake, control line, lines
line            one parked connection, until a call has it
"""
