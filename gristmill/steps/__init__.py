"""What every step shares: today the identity of its code, which is a part of its run's name."""
