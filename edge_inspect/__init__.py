"""Line-side inspection: camera frames in, one verdict per part out, to the PLC and the local record.

Importing the package does nothing: no logging set-up, no plugin scan, no GPU. ARCHITECTURE.md says where to read on.
"""

__version__ = "0.1.0"
