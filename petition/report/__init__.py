"""What is told of a campaign: answers by person and demand, evidence; and what is erased of it."""
