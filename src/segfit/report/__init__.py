"""What a comparison looks like: a page to share, Markdown, and tables and figures for papers."""
