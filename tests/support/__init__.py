"""What tests of several areas need beside fixtures."""
