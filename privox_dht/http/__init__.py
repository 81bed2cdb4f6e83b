"""HTTP plumbing that knows no speech, for servers and for clients.

servers                                           clients
  listener         sockets, TLS, connection quotas  pinned_tls      the key that must answer
  connections      HTTP on a connection             client_request  one request and its phases
  request_checks   headers: which are accepted      client_body     what is uploaded
  request_body     the body, within request_limits; multipart: its parts
  responses        answers, whole and as streams    both
                                                      sse             server-sent events, heartbeats
                                                      error_mapping   errors <-> statuses
"""
