"""What comes in from outside (webhooks of Receivers). Decides who is meant and whether to believe it; pokes nobody."""
