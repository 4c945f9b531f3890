"""cmdclf: better command-line classifiers from rare, complex, benign command lines."""

__version__ = "0.1.0"
__all__ = ["__version__"]
