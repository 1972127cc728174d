"""`ppgan-apps serve` (the extra `web`): pages for people and an HTTP API for programs, in one process."""
