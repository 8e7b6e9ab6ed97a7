"""Break servers, databases and clocks under load, then compare the responses of all clients with the final state."""
