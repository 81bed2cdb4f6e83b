"""A private mesh: holders of its secret are members; everything is encrypted for members.

keys          one key for each purpose, from the secret and the mesh's name. Pure
replays       a message received in the last minute is not accepted again. Pure
destinations  the destination of a message, and whether that is us
members       Membership: all of these for one program; counts rejected messages
tls           a sealed first message before TLS, which proves both sides to each other
farm_line     the same for the messages to a farm
secret_file   where the secret comes from
"""
