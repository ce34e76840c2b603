"""What the machine around the station sees: live status, health, systemd."""
