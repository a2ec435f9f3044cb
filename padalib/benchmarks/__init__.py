"""Truth tables: readers, checks, and making our own."""
