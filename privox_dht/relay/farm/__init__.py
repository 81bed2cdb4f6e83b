"""A farm: connects clients to producers behind a NAT, and cannot read what it forwards.

switchboard  decides, with calls; actions are what is to be done. Pure
driver       applies the actions to sockets, and reports events to the switchboard
protocols    handshake, control line, splice
farm_server  Farm: listens, and owns all of it
"""
