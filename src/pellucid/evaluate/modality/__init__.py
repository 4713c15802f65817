"""Which of several inputs does the model use?"""
