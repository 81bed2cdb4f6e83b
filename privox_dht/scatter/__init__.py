"""One long recording, or one long text, as many short jobs.

transcription         short: one job; long: scattered; private: scattered, or refused
scattered_recording   a recording's pieces; what comes back is told in order
private               the same, so that nobody hears much
scattered_text        a text: short, one job; long, its passages, spoken with one voice
scattered_job         which piece is given out next, and what is to be done with the answer
piece_requests        those that are with producers now, each a job of its own

cut                   sound -> pieces of 10 to 30 s, from the sound alone    (pure)
plan                  a piece that lags is given to a second producer        (pure)
stitch                the pieces' words -> one transcript, in one language   (pure)
shares                who may hear which piece                               (pure)
passages              text -> whole sentences, half a minute at a time       (pure)
one_voice             which engine and voice speak all of it                 (pure)
outcome               what is wrong with a recording when all is done        (pure)

piece_source          a file -> pieces, decoded as they are wanted
piece_work            a piece at one producer, whose words must lie within it
resume_file           what was heard, for the next run if this one is interrupted
"""
