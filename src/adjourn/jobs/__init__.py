"""System jobs: what they are (`model`), how they change (`states`, `outcomes`, `backoff`), and the queue that keeps them."""
