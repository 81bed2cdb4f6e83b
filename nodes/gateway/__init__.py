"""The gateway: serves ordinary apps on this machine from the mesh.

    app -> HTTP on loopback      OpenAI's audio API
    gateway -> mesh              each request is a job, dispatched with failover as by
                                 `privox-client`

`provider` makes the mesh a `speech.Provider`, so the API is served by the code of every producer.
"""
