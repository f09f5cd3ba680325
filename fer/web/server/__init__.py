"""The server around the page: limits, queues, uploads, logs, health."""
