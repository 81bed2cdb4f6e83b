"""The speech API once: its server side over any provider, its client side. OpenAI's dialect.

server    SpeechServer: requests in, answers out         client  SpeechClient
  openai_requests  fields -> what is asked                 openai_responses  what is answered
  model_selection  of which engine it is asked
  handlers         the job; audio_response: its sound
  model_catalogue  GET /v1/models
  job_log          beginnings and ends, counted
"""
