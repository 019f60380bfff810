"""Where frames come from: files, folders, lists, cameras, streams, the screen and memory."""
