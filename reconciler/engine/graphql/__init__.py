"""GraphQL as far as Fly's own client asks it: a table of named queries, each a function over the engine's state.

- `document`: reads what a request asks for.
- `queries`: the table, and how an answer is cut to what was asked.
- `answers`: records of the engine with the members that GraphQL gives them.

There is no schema and no introspection. What is not in the table is an error that names it, never an empty answer.
"""
