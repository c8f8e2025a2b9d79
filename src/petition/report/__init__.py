"""What is told of a campaign: answers by person and demand."""
