"""What an emulated iPhone does for its clients: files, apps, images, diagnostics. `table` has the list."""
