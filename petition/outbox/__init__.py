"""LOG: one row a copy, every step an event, nothing sent that is not written down before."""
