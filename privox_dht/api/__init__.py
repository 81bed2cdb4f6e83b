"""The speech API once: its server side over any provider, its client side.

    server    SpeechServer: requests in, answers out            client   SpeechClient
      listener  sockets, TLS, who may come; connections: HTTP     peer     whom we call: the key
      door      headers: who may come in                          call     one request's way
      upload    the body: multipart, bounds                       body     what we upload
      asked     fields -> what is asked; names: of whom           heard    what a stranger answers
      work      the job: steady, sound, answers
      jobs      beginnings and ends, counted

    both      events (server-sent), faults (how ends are said)

Above this package nobody has heard of aiohttp.
"""
