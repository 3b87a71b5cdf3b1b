"""Native sessions: what a platform's own clients say, which grant it needs, and how it is said to the cloud itself."""
