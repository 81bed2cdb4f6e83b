"""One long recording as many short jobs.

cut      sound -> pieces of 10 to 30 s, from the sound alone         (pure)
    stitch   the pieces' words -> one transcript, in one language       (pure)
"""
