"""Fine-tuning for images that differ from those of training: two papers of Kumar and others.

Their numbers are known here at second hand, and their datasets are not here: CIFAR-10, STL-10 and others have their
place. So no number stands beside a result; the report lists them as published under other settings.
"""
