"""scripts/deploy: plan, confirm, deploy, smoke test, and back to what was there when the smoke test fails.

`routes` says what a version of the app consists of, `contracts` and `diff` what another one changes, `drain` what
has to end before something goes, `assembly` holds the templates, `apply` brings them to AWS or to the local engine,
`smoke` looks whether it works, `records` remembers what is deployed, `rollout` is the order of these steps.
"""
