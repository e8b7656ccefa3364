"""What applications publish with, generated from the contracts: JSON Schemas, TypeScript types, Python classes.

publishers/schemas/<event>.json              one JSON Schema per event, with an example
publishers/typescript/src/events.ts          types by event name
publishers/python/cgk_publisher/events.py    one frozen dataclass per event

The rest of publishers/ is written by hand. Only events of `from_apps` can be published; those of `to_apps` are there as
types for applications that listen.
"""
