"""The speech API, OpenAI's dialect: a server for any provider, and a client.

server    speech_server: SpeechServer               client  client: SpeechClient
  openai_requests  form fields, JSON -> requests        openai_responses  responses -> results
  model_selection  the engine that a request means
  handlers         the jobs; audio_response: their sound
  model_catalogue  GET /v1/models
  job_log          jobs, counted and logged
"""
