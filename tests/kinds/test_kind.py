"""What kinds of data have in common."""

import pytest

from jaxgan.config import InputError
from jaxgan.kinds import points, records, sequences
from jaxgan.kinds.kind import groups_of


@pytest.mark.parametrize("kind", [points, records, sequences])
def test_an_interval_takes_two_groups_or_none(kind):
    assert [groups_of(kind.Options(groups=n)) for n in (0, 2)] == [0, 2]
    assert groups_of(None) == kind.Options().groups
    with pytest.raises(InputError, match="--groups 1: an interval takes 2 or more groups; 0 takes none"):
        kind.judge(None, options=kind.Options(groups=1), n=1)
