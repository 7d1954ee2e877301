"""The recorder process and the spool through which test processes tell it what they do."""
