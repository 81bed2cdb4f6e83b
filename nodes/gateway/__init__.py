"""The gateway: ordinary apps on this machine are served from the mesh.

    app -> HTTP on loopback      OpenAI's audio API, as every other server has it
    gateway -> mesh              each request is a job for a producer, found and failed over as
                                 `privox-client` does it

`provider` makes the mesh a `speech.Provider`, so the pages are those of every producer.
"""
