"""Whether production stays apart: from staging, and from the files of those who work on staging."""
