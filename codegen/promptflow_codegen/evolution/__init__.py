"""What an edit means to those who call the flows: two states of a project, compared.

`compare_bundles` is pure: it reads two bundles and nothing else, knows no lock and no file, and never says that
something is compatible which an old client would notice. It names everything in the words of the flow file
(`inputs.text`, `steps.ocr.config.model`, `outputs.mood`); `places` finds the lines of such names.

change     one difference, its verdict, and the version that it asks for
compare    two bundles: which flows there are, then each one's parts
messages   requests and results as descriptors have them: numbers, types, enum values
promises   inputs and outputs as plans have them: presence, defaults, constraints
behaviour  steps, templates, times: what runs
places     a name in the words of the flow file as a line of it
"""

from promptflow_codegen.evolution.change import Asks, Change, Verdict
from promptflow_codegen.evolution.compare import compare_bundles

__all__ = ["Asks", "Change", "Verdict", "compare_bundles"]
