"""Two commits side by side: what counts as a figure, and what counts as worse."""

from bench.compare import Figure, figures_of, options


def test_every_number_has_a_name_and_a_row_goes_by_what_it_measures() -> None:
    found = {
        "bench": "jobs",
        "machine": {"cpus": 2},
        "rows": [{"what": "small", "ours": 2, "peer": 1.0, "unit": "ms", "aim": 1.5}],
        "small": {"direct": 0.5},
    }
    assert dict(figures_of(found)) == {
        "rows[small].ours": 2.0,
        "rows[small].peer": 1.0,
        "small.direct": 0.5,
    }


def test_a_figure_is_worse_when_its_median_grew_by_more_than_that() -> None:
    figure = Figure("rows[small].ours", before=[1, 1, 9], now=[1.2, 0.1, 1.2])
    assert figure.ratio == 1.2
    assert figure.is_worse(1.1)
    assert not figure.is_worse(1.25)


def test_a_peer_that_got_slower_is_nobodys_fault() -> None:
    assert not Figure("rows[small].peer", before=[1], now=[2]).is_worse(1.1)
    assert not Figure("small.plain", before=[1], now=[2]).is_worse(1.1)


def test_benches_may_be_named_behind_the_options() -> None:
    assert options(["v0.1.0"]).benches == ["jobs", "relay"]
    given = options(["v0.1.0", "--runs", "3", "jobs"])
    assert (given.commit, given.runs, given.benches) == ("v0.1.0", 3, ["jobs"])
