"""The demo: simulators, gateway, hosts and people on one machine, with a live table and a summary."""
