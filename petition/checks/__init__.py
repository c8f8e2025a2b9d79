"""Everything that can be wrong with a letter, its list, its sender and its folder."""
