"""One long recording, or one long text, as many short jobs.

transcription         short: one job; long: scattered; private: scattered, or refused
scattered_recording   a recording's pieces, whose segments are emitted in order
private               the same, so that no producer hears much of it
scattered_text        a text: short, one job; long, its passages, spoken by one voice
scattered_job         what both share: which piece is requested next, and what its result means
piece_requests        the requests for pieces that are under way, each a job of its own

cut                   sound -> pieces of 10 to 30 s, by the sound alone      (pure)
stragglers            which slow piece a second producer should get          (pure)
stitch                the pieces' words -> one transcript, in one language   (pure)
shares                which producer may hear which piece                    (pure)
passages              text -> whole sentences, half a minute at a time       (pure)
one_voice             which engine and voice speak all of it                 (pure)

piece_source          a file -> pieces, decoded as they are needed
piece_work            one piece at one producer; the times of its words are checked
resume_file           the pieces done so far, for the next run if this one is interrupted
"""
