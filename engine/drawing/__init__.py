"""Charts, contact sheets, and boxes drawn into images."""
