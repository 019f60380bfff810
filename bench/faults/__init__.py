"""Campaigns of faults: what is damaged, killed or forged, and what must hold."""
