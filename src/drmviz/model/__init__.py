"""Plain frozen data: what a fleet is, what was measured, what was decided, and a window of it all (`Run`)."""
