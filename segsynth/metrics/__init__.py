"""CLU metrics that merge across steps, devices and hosts."""
