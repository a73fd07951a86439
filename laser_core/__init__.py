"""laser_core: do large language models make recommender systems sample-efficient?

One way through: raw files -> `CTRDataset` -> shots -> `Recommender.fit` -> `Recommender.predict` -> metrics -> result store -> figures.
Importing this package loads neither torch nor transformers nor streamlit.
"""

__version__ = "0.1.0"
