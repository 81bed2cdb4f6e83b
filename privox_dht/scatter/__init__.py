"""One long recording as many short jobs.

transcription   short: one job; long: scattered; private: scattered, or refused
run             each piece a job of its own; what comes back is told in order
private         the same, so that nobody hears much

cut             sound -> pieces of 10 to 30 s, from the sound alone    (pure)
plan            a piece that lags is given to a second producer        (pure)
stitch          the pieces' words -> one transcript, in one language   (pure)
shares          who may hear which piece                               (pure)

piece_source    a file -> pieces, decoded as they are wanted
piece_work      a piece at one producer, whose words must lie within it
"""
