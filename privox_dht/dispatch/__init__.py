"""The client's side of one job: find producers, choose, probe, dial, offer, and fail over.

    discovery   records of a service, from the directory     selection   which fit, in which order
    reputation  failures, back-off, measured speed           job_state   the result of each attempt
    route_prober, dial_budget    which routes work, and how often any may be dialled
    attempts    one round: producers asked one after the other
    dispatcher  rounds until the job is done, or time is over
    fallback    a server outside the mesh, when no producer did it

Nothing above this package imports aiohttp.
"""
