"""The Redis broker against real servers, which these tests start."""
