"""Every system of the five papers, and PaDiM: one file a family, plain `nn.Module`s, trained on good parts only.

`system.py` says what a system is; `catalogue.py` lists them by the name `edge-inspect train --model` takes.
"""
