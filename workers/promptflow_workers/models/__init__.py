"""Models: where they lie, how their weights come, how they run. Never imported by a server.

A folder `models/<name>` in git holds graph and manifest; the big tensors come by hash and are mapped where they lie.
Another hash is refused, and whatever is not complete is not there.

schema           `model.yaml`
locate           the model folders of this machine
cache            fetched files, addressed by hash
sources          files out of the wheel of a package, or from the hub
pull             what the cache lacks, brought in once for all processes
runtime          onnxruntime sessions
text_classifier  texts in, labels and probabilities out
repository       models by name: list, pull, load, verify
ocr/             pages read by Tesseract, in processes of their own
"""
