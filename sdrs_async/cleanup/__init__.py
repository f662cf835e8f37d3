"""What is to be done? Target lists, what discovery finds, and where both are kept until they are done."""
