"""The commands: parse, call, show; one small file each."""
