"""What the world can see of the sender: records in DNS, and the server that takes the letters."""
