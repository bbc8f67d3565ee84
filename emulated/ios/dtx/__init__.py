"""DTX: how developer tools start, watch and end apps on an iPhone (Apple's instruments)."""
