"""Who verifies the verifiers? From a row's ground truth, answers that must score 1 and answers that must score 0.

What is decided here: a check of the checks knows nothing of how a handler works. It starts from the ground truth and from
what the data source documents, writes responses of its own, and puts them to the real engine as a trainer would. What
a handler calls right is never asked when a response is written.

`model` has the words, `kits` what is right and wrong for each handler, `everywhere` what holds for all of them, `run` puts
the probes to a judge and gathers the violations, `job` does that in the background of a service.
"""
