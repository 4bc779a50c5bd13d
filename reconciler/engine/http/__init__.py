"""The ASGI application: authentication, rate limits, faults, routes, JSON.

`app.py` puts it together; `routes/` maps paths to methods of `Engine`; `serializers.py` spells records as the API does.
"""
