"""A private mesh: who holds its secret is a member; everything is encrypted for members.

keys          one key for each purpose, from the secret and the mesh's name. Pure
replays       what was heard in the last minute is not heard again. Pure
destinations  whom a message is for, and whether that is us
members       Membership: all of these for one program; seals, opens, counts who was turned away
tls           a sealed first message before TLS, which proves both sides to each other
farm_line     the same for what is said to a farm
secret_file   where the secret comes from
"""
