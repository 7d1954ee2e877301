"""What people read after and during a run: the closing summary, live progress, tables and the one-file page."""
