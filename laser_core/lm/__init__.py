"""Language models as recommenders: backbones, prompts, yes/no scoring, tuning, and the systems made of them.

No module here loads torch when it is imported, except `scoring`, `tuning`, `readout`, `processes`, and the fine-tuned small models
(`text_classifier`, `ctr_bert`, `ptab`, `p5`).
"""

import os

# Threads that wait for work spin by default and so slow every neighbour down; OpenMP reads this once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
