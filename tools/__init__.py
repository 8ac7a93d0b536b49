"""The test bench: real API servers, Git, Redis and S3 on this machine, for the tests and the demo."""
