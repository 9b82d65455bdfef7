"""Hold other people's models to the limits of the efficient-MNIST challenge: ``python -m grading SUBMISSIONS``.

submissions -> sandbox builds the model -> graph of operators -> the engine trains and tests it -> judge -> rubric
            -> gradebook, platforms
"""
