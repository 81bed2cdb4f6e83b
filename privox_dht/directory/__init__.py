"""The mesh's directory: the DHT by UDP, or, where that is blocked, a neighbour by HTTPS.

failover      Directory: a DHT node that asks its neighbours over HTTPS where UDP is blocked
https_client  asking such a neighbour            https_server  being one
https_answer  the response of that page, written and read
"""
