"""What a detector looks at: heat maps, gates of attention, feature maps, receptive fields."""
