"""The client's side of one job: find producers, choose, probe, dial, offer, and fail over.

    discovery   records of a service, from the directory     selection   who fits, in which order
    reputation  who failed lately, and backs off             job_state   what became of each attempt
    route_prober, dial_budget    who answers, and how often anybody may be dialled
    attempts    one round: producers asked one after the other
    dispatcher  rounds until somebody did it, or time is over
    fallback    a server outside the mesh, when nobody did

Above this package nobody has heard of aiohttp.
"""
