"""The client's side of one job: find producers, choose, probe, dial, offer, and fail over.

    discovery   records of a service, from the directory     selection   which match, in which order
    reputation  failures, back-off, measured speed           job_state   the result of each attempt
    route_prober, dial_budget    which routes work, and how often each address may be dialled
    attempts    one round: each producer is asked once, until one does the job
    dispatcher  rounds until the job is done or its time is over
    fallback    a server outside the mesh, when no producer did the job

Nothing above this package imports aiohttp.
"""
