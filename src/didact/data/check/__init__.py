"""The data doctor: what is wrong with a data set, found before the first step of training.

``report.check_data`` calls every check; each kind of check is a file, and ``rules`` says when it speaks.
"""
