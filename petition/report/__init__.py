"""What became of a campaign: answers by person and demand, a report, evidence; and erasure."""
