"""Hold the plugins that ship: each is one module with `attach(app, service)`."""
