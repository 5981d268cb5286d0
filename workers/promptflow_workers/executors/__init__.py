"""The executors that ship with PromptFlow, a module each. Importing one never imports a model runtime.

What is heavy (onnxruntime, Tesseract, Pillow) loads in `start`, in the process that runs the executor.

ocr                 text, confidence and words of a scanned page           queue `ocr`
sentiment_analyzer  negative or positive, batched                          queue `sentiment`
transform           one value of a declared type                           inline
combine             several named values of declared types                 inline
decision_maker      the path of the first rule that holds                  inline
"""
