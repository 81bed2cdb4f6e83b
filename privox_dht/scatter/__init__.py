"""One long recording as many short jobs.

transcription   short: one job; long: scattered; private: scattered, or refused
run             a recording's pieces; what comes back is told in order
private         the same, so that nobody hears much
scattered_job   which piece is given out next, and what is to be done with the answer
asking          those that are with producers now, each a job of its own

cut             sound -> pieces of 10 to 30 s, from the sound alone    (pure)
plan            a piece that lags is given to a second producer        (pure)
stitch          the pieces' words -> one transcript, in one language   (pure)
shares          who may hear which piece                               (pure)

piece_source    a file -> pieces, decoded as they are wanted
piece_work      a piece at one producer, whose words must lie within it
"""
