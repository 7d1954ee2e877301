"""The pages and the API of a fleet over HTTP: one guard around everything, read-only."""
