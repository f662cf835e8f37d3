"""How is it shown? On a terminal, as JSON, as a page. The libraries for it come with the extras."""
