"""One way to write: messages pass through stages, and leave the jobs of asynchronous steps behind in one transaction."""
