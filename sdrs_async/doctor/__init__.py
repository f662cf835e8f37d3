"""What is wrong with an account? One check after the other, and what each failure says."""
