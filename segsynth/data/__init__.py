"""Sources of examples and the input pipeline: NumPy on the host, the only room that reads grain,
tfds and Pillow.
"""
