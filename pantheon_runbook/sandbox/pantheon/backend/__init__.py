"""Session routes, background jobs and migrations of the stand-in product."""
