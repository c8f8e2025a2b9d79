"""The templates of a letter: what may stand in them, what they can name, how they compile."""
