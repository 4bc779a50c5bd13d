"""What answers requests: authentication, rate limits, faults, routes, JSON.

`app.py` puts it together; `routes/` maps paths to methods of `Engine`; `serializers.py` spells records as the API does.
Requests come from the server (`server/http_server.py`), or in this process by ASGI (`asgi.py`).
"""
