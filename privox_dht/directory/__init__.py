"""The mesh's directory over whatever gets through: the DHT by UDP, or a neighbour by HTTPS.

failover      Directory: a DHT node that asks its neighbours over HTTPS where UDP is blocked
https_client  asking such a neighbour            https_server  being one
https_answer  what is said
"""
