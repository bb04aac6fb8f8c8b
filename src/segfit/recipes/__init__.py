"""The shipped recipes (a folder each) and studies (a YAML list each)."""
