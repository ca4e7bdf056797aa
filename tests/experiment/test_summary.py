"""How `summary.json` says that its figures were measured."""

from fedrun.experiment.manifest import hashes
from fedrun.experiment.summary import summarise


def words(experiment):
    return summarise(experiment, experiment.state, [], {}, None)["measured"]["test/*"]


def test_the_test_set_is_the_official_one_or_the_clients_own(federation):
    assert words(federation("data=digits")) == "the official test set of 359 examples"
    own = federation("data=digits", "clients.test_fraction=0.2", "clients.count=4")
    share = f"{len(own.test)} examples: 0.2 of what each client holds"
    assert words(own).startswith(share)


def test_a_manifest_counts_the_rows_that_are_trained_on(federation):
    own = federation("data=digits", "clients.test_fraction=0.2", "clients.count=4")
    facts = hashes("", own)["data"]
    assert (facts["train"] + facts["test"], facts["test"]) == (1438, len(own.test))
