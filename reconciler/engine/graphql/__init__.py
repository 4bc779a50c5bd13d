"""Answer the GraphQL queries of Fly's own client, from a table of named queries.

Each query is a function over the engine's state.

- `document`: reads what a request asks for.
- `queries`: the table; reduces an answer to the fields that were asked for.
- `answers`: records of the engine with the members that GraphQL gives them.

There is no schema and no introspection. What is not in the table is an error that names it, never an empty answer.
"""
