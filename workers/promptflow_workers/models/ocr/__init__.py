"""Pages read by Tesseract, in processes of their own. Nothing here takes part in flows.

Tesseract has no way to stop its analysis of a page's layout: an image of noise keeps it busy for hours, and a damaged
one may crash a decoder. So each reader is a child process that a timer of the kernel ends, and a worker survives it.

messages    what a worker and a reader say to each other
image       image files as upright grey pages, whatever they really are
layout      lines joined to a text
tesseract   one Tesseract engine: a grey page in, text and words out
reader      the child process: a loop over pages
pool        the parent's side: readers started at need, killed when a call is cancelled
"""
