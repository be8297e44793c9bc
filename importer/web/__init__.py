"""The page: static files and nothing else. docs/page.md says how they fit together."""
