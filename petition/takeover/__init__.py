"""TAKE OVER: a campaign of another program becomes a campaign folder."""
