"""Rules and a dashboard for the service; ``python -m deploy.monitoring`` makes the files."""
