"""A farm: joins a client and a producer behind a NAT, and cannot read a word.

switchboard  decides, with calls; actions are what is to be done. Pure
driver       applies the actions to sockets, and tells the switchboard what happened
protocols    handshake, control line, splice
server       Farm: listens, and owns all of it
"""
