"""A mesh of thousands of DHT nodes in one process, in virtual time, without sockets.

`virtual` is the clock and the network, `worlds` the two kinds of mesh that are put into it:
bmuller's kademlia as it comes, and ours. The same seed gives the same run, to the byte.
"""
