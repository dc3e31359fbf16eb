"""An online experiment read: users split by hash, metrics per user, differences between arms, and when to stop."""
