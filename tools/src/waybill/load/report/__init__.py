"""What a load test leaves: a page with charts, a document for machines, and tables."""
