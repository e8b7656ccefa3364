"""Settings of a Vercel project brought into a stage: selected names only, into Secrets Manager or SSM, after a look."""
