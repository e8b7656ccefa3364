"""Keys of a stage: 32 random bytes as 64 hex digits, in .env.local and in Secrets Manager.

generate   make keys that are missing in .env.local
push       from .env.local to the stage's secrets
pull       from the stage's secrets to .env.local
rotate     change the master key while everything runs (rotation.py)
verify     does everything fit together

A value that is there already is replaced only when its name is given to --replace.
"""
