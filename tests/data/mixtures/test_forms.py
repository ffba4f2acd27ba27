"""The forms of mixtures and their algebra, and mixtures that change inside a stage."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemix.data.languages import CODE_DOCUMENTS, MARKUP_DOCUMENTS, language_shares
from codemix.data.mixtures.forms import (
  additive_tokens,
  by_documents,
  competitive,
  in_ratio,
  swap,
  uniform,
)
from codemix.data.mixtures.mixture import FINEST_SHARE, Mixture, parse_mixture
from codemix.data.mixtures.schedule import MixtureSchedule, schedule_of
from codemix.errors import UserError

ratios = st.dictionaries(st.sampled_from('abcdefgh'), st.integers(1, 10**6), min_size=1, max_size=6)
percents = st.integers(1, 99).map(lambda n: Fraction(n, 100))
lengths = st.fixed_dictionaries({name: st.fractions(5, 500_000) for name in 'abcdefgh'})


@st.composite
def mixtures(draw):
  """A dict of groups as a user writes it; a source may stand in several."""
  fractions = lambda weights: {name: f'{weight}/{sum(weights.values())}' for name, weight in weights.items()}
  return {
    f'group_{name}': (weight, fractions(draw(ratios))) for name, weight in fractions(draw(ratios)).items()
  }


@given(ratios)
def test_listed_weights_keep_their_ratio_and_sum_to_one(weights):
  shares = parse_mixture(in_ratio(weights)).shares()
  assert sum(shares.values()) == 1
  assert all(shares[a] * weights[b] == shares[b] * weights[a] for a, b in itertools.pairwise(weights))


@pytest.mark.parametrize(('table', 'entries'), [('code', CODE_DOCUMENTS), ('markup', MARKUP_DOCUMENTS)])
def test_the_studys_tables_need_not_sum_to_100(table, entries):
  shares = in_ratio(language_shares(table)).shares()
  assert sum(shares.values()) == 1
  assert {name: share * Fraction('99.99') for name, share in shares.items()} == {
    name.replace('-', '_'): Fraction(percent) for name, percent in entries.items()
  }


def test_forms_stand_wherever_parts_may():
  mixture = parse_mixture(
    {'text': 0.9, 'code': (0.1, in_ratio({'web': (4, uniform(['java', 'go'])), 'markup': 1}))}
  )
  assert mixture.shares() == {
    'text': Fraction(9, 10), 'java': Fraction(1, 25), 'go': Fraction(1, 25), 'markup': Fraction(1, 50)
  }


@given(ratios, lengths)
def test_shares_by_documents_draw_documents_in_that_ratio(documents, tokens):
  shares = by_documents(documents).resolve(tokens).shares()
  assert sum(shares.values()) == 1
  exact = {name: count * tokens[name] for name, count in documents.items()}
  for name, share in shares.items():
    assert abs(share - exact[name] / sum(exact.values())) <= FINEST_SHARE
    assert share.limit_denominator(FINEST_SHARE.denominator) == share


@given(lengths, percents)
def test_documents_of_a_group_count_at_its_own_mean_length(tokens, share):
  # As many documents of the group as of c: those of the group are a and b, mixed by tokens.
  mixture = by_documents({'group': (1, {'a': share, 'b': 1 - share}), 'c': 1}).resolve(tokens)
  shares = mixture.shares()
  documents = {name: float(shares[name] / tokens[name]) for name in 'abc'}
  assert documents['a'] + documents['b'] == pytest.approx(documents['c'], rel=1e-4)
  group = mixture.parts[0]
  assert [part.weight for part in group.parts] == [share, 1 - share]


def test_equal_documents_make_shares_by_documents_shares_by_tokens():
  equal = dict.fromkeys('ab', Fraction(700))
  assert by_documents({'a': 1, 'b': 3}).resolve(equal).shares() == {'a': Fraction(1, 4), 'b': Fraction(3, 4)}


def test_a_tree_is_printed_drawn_and_resolved_without_measuring_what_needs_none():
  mixture = parse_mixture({'text': 0.9, 'code': (0.1, by_documents({'java': 3, 'go': 1, 'lisp': 0}))})
  assert mixture.drawn() == ['text', 'java', 'go']
  assert mixture.evaluated_only() == ['lisp']
  assert mixture.to_json()['parts'][1]['parts'][0] == {'name': 'java', 'documents': '3/4'}
  with pytest.raises(UserError, match="share of 'java' is given by documents"):
    mixture.shares()
  with pytest.raises(UserError, match="'go' has a share by documents, and its tokens per document are not known"):
    mixture.resolve({'java': Fraction(10)})
  resolved = mixture.resolve({'java': Fraction(10), 'go': Fraction(20)})
  assert resolved.shares() == {
    'text': Fraction(9, 10), 'java': Fraction(6, 100), 'go': Fraction(4, 100), 'lisp': 0
  }
  assert resolved.resolve({}) == resolved
  assert resolved.to_json()['parts'][1]['parts'][0] == {'name': 'java', 'weight': '3/5', 'documents': '3/4'}


@given(mixtures())
def test_a_mixture_by_tokens_is_resolved_already(spec):
  mixture = parse_mixture(spec)
  assert mixture.resolve({}) == mixture
  assert parse_mixture(mixture) == mixture


@given(ratios, percents)
def test_a_swap_keeps_the_rest_in_ratio(weights, taken):
  before = in_ratio(weights).shares()
  after = swap(in_ratio(weights), {'new': taken}).shares()
  assert after.pop('new') == taken
  assert after == {name: share * (1 - taken) for name, share in before.items()}


def test_a_swap_within_a_group_takes_fractions_of_the_group():
  mixture = {'text': 0.5, 'code': (0.5, {'web': 0.8, 'markup': 0.2})}
  incoming = {'commits': 0.05, 'notebooks': 0.05, 'stackexchange': 0.05}
  shares = swap(mixture, incoming, within='code').shares()
  assert shares == {
    'text': Fraction(1, 2),
    'web': Fraction(34, 100),
    'markup': Fraction(85, 1000),
    **dict.fromkeys(incoming, Fraction(25, 1000)),
  }


def test_a_swap_out_of_one_part_leaves_the_others():
  shares = swap({'web': 0.8, 'markup': 0.2}, {'synthetic': 0.1}, out_of='web').shares()
  assert shares == {'web': Fraction(7, 10), 'markup': Fraction(1, 5), 'synthetic': Fraction(1, 10)}


def test_a_swap_in_a_group_by_documents_leaves_its_ratio_of_documents():
  mixture = swap({'code': (1, by_documents({'java': 3, 'go': 1}))}, {'synthetic': (0.1, 'made')}, within='code')
  tokens = {'java': Fraction(10), 'go': Fraction(20)}
  assert mixture.resolve(tokens).shares() == {
    'java': Fraction(54, 100), 'go': Fraction(36, 100), 'made': Fraction(1, 10)
  }


@given(percents)
def test_competitive_gives_code_what_it_takes_from_language(share):
  mixture = competitive({'c4': 0.5, 'books': 0.5}, 'github', share)
  assert mixture.shares() == {'c4': (1 - share) / 2, 'books': (1 - share) / 2, 'github': share}
  assert [part.name for part in mixture.parts] == ['text', 'code']


def test_a_side_without_a_share_is_left_out():
  assert competitive('c4', 'github', 0).drawn() == ['c4'] == list(competitive('c4', 'github', 0).shares())
  assert list(competitive('c4', 'github', 1.0).shares()) == ['github']


@given(st.integers(10**6, 10**12), percents)
def test_additive_keeps_the_tokens_of_language(language_tokens, share):
  total = additive_tokens(language_tokens, share)
  assert abs(total - language_tokens / (1 - share)) <= Fraction(1, 2)


def test_the_additive_totals_of_petty_et_al():
  totals = [round(additive_tokens(132e9, share) / 1e9, 1) for share in (0, 0.1, 0.2, 0.3, 0.4, 0.5)]
  assert totals == [132.0, 146.7, 165.0, 188.6, 220.0, 264.0]


@given(st.lists(st.sampled_from('abcdefgh'), min_size=1, unique=True))
def test_uniform_is_one_part_in_as_many_as_there_are(sources):
  assert uniform(sources).shares() == dict.fromkeys(sources, Fraction(1, len(sources)))


def test_a_source_of_weight_0_stays_in_the_tree_and_is_drawn_if_it_has_weight_elsewhere():
  mixture = parse_mixture({'text': 1, 'paloma': 0, 'held_out': (0, {'books': 0.5, 'text': 0.5})})
  assert mixture.drawn() == ['text']
  assert mixture.evaluated_only() == ['paloma', 'books']
  assert mixture.shares()['paloma'] == 0
  assert [part.name for part in mixture.parts] == ['text', 'paloma', 'held_out']


@pytest.mark.parametrize(
  ('build', 'says'),
  [
    (lambda: in_ratio({}), 'in_ratio.weights is {}'),
    (lambda: in_ratio({'a': 0, 'b': 0}), 'in_ratio: every weight is 0'),
    (lambda: in_ratio({'a': -1}), 'lies from 0'),
    (lambda: in_ratio({'a': 'much'}), 'write a number'),
    (lambda: in_ratio({'a': (1, {'b': 0.5})}), 'in_ratio > a: the weights b=0.5 sum to 0.5'),
    (lambda: by_documents(['a']), "by_documents.weights is ['a']"),
    (lambda: uniform('local_text'), "Write ('local_text',)"),
    (lambda: uniform([]), 'uniform.sources is []'),
    (lambda: uniform(['a', 'b', 'a']), "names 'a' twice"),
    (lambda: swap({'a': 1}, {'b': 1}), "'swap.mixture' has 1; some of it must remain"),
    (lambda: swap({'a': 1}, {'a': 0.5}), "'a' is in 'swap.mixture' already"),
    (lambda: swap({'code': (1, 'a')}, {'b': 0.5}, within='coda'), "no group of that name. Did you mean 'code'?"),
    (lambda: swap({'x': (0.5, {'g': (1, 'a')}), 'y': (0.5, {'g': (1, 'b')})}, {'c': 0.5}, within='g'), '2 groups'),
    (lambda: swap({'web': 1}, {'b': 0.5}, out_of='wed'), "out_of names 'wed', which is not a part"),
    (lambda: swap({'a': 0.9, 'b': 0.1}, {'c': 0.2}, out_of='b'), "0.2 comes in, and 'b' has 0.1; some"),
    (lambda: swap(by_documents({'a': 1, 'b': 2}), {'c': 0.2}, out_of='b'), 'are by documents'),
    (lambda: competitive('a', 'b', 1.5), 'competitive.share is 1.5'),
    (lambda: competitive('a', {'b': 0.5}, 0.5), 'competitive > code: the weights b=0.5 sum to 0.5'),
    (lambda: additive_tokens(132e9, 1), 'additive_tokens.share is 1'),
    (lambda: parse_mixture({'a': in_ratio({'b': 1})}), "the weight of 'a' is Mixture"),
  ],
)
def test_forms_that_make_no_sense_are_refused_in_one_line(build, says):
  with pytest.raises(UserError) as refused:
    build()
  assert says in str(refused.value)
  assert '\n' not in str(refused.value)


# Mixtures that change inside a stage.

places = st.lists(st.integers(1, 99), min_size=0, max_size=5, unique=True).map(
  lambda inner: [Fraction(0), *(Fraction(p, 100) for p in sorted(inner))]
)


@st.composite
def schedules(draw):
  at = draw(places)
  return MixtureSchedule(
    [(place, in_ratio(draw(ratios))) for place in at], draw(st.sampled_from(['step', 'linear']))
  )


@given(schedules())
def test_spans_join_to_the_whole_stage_and_their_shares_sum_to_one(schedule):
  spans = schedule.segments()
  assert (spans[0].begin, spans[-1].end) == (0, 1)
  assert all(one.end == other.begin for one, other in itertools.pairwise(spans))
  for span in spans:
    assert span.begin < span.end
    assert list(span.at_begin) == list(span.at_end) == schedule.drawn()
    assert sum(span.at_begin.values()) == sum(span.at_end.values()) == 1


@given(schedules())
def test_the_mean_tree_has_the_area_under_each_sources_share(schedule):
  area = {
    source: sum((s.end - s.begin) * (s.at_begin[source] + s.at_end[source]) / 2 for s in schedule.segments())
    for source in schedule.drawn()
  }
  shares = schedule.mean().shares()
  assert sum(shares.values()) == 1
  assert {source: share for source, share in shares.items() if share} == area


@given(schedules())
def test_a_line_goes_through_its_knots_and_a_step_jumps_to_them(schedule):
  spans = {span.begin: span for span in schedule.segments()}
  for at, mixture in schedule.knots:
    if at in spans:
      shares = mixture.shares()
      assert spans[at].at_begin == {source: shares.get(source, 0) for source in schedule.drawn()}
  if schedule.interpolation == 'step':
    assert all(span.at_begin == span.at_end for span in spans.values())
  else:
    assert all(one.at_end == other.at_begin for one, other in itertools.pairwise(spans.values()))


@given(mixtures())
def test_a_mixture_that_does_not_change_is_one_span_however_it_is_said(spec):
  plain = schedule_of(spec, 'the mixture')
  assert plain.mean() == parse_mixture(spec, 'the mixture')
  said = [[source, str(share)] for source, share in parse_mixture(spec).shares().items()]
  for interpolation in ('step', 'linear'):
    again = MixtureSchedule([(0, spec), (0.25, spec), (0.5, spec)], interpolation)
    assert again.segments() == plain.segments()
    assert again.mean().shares() == plain.mean().shares()
    assert again.describe() == plain.describe() == said


def test_the_phases_of_ma_et_al():
  text = [0.5, 0.6, 0.7, 0.7]
  knots = [(i / 4, {'text': t, 'code': Fraction(1) - Fraction(str(t))}) for i, t in enumerate(text)]
  schedule = MixtureSchedule(knots)
  assert schedule.mean().shares() == {'text': Fraction(5, 8), 'code': Fraction(3, 8)}
  assert [(float(s.begin), float(s.end), float(s.at_begin['code'])) for s in schedule.segments()] == [
    (0, 0.25, 0.5), (0.25, 0.5, 0.4), (0.5, 1, 0.3)
  ]


def test_a_straight_line_between_two_mixtures():
  schedule = MixtureSchedule(((0.0, 'text'), (1.0, {'text': 0.6, 'code': (0.4, 'web')})), 'linear')
  (span,) = schedule.segments()
  assert span == (0, 1, {'text': 1, 'web': 0}, {'text': Fraction(3, 5), 'web': Fraction(2, 5)})
  mean = schedule.mean()
  assert mean.shares() == {'text': Fraction(4, 5), 'web': Fraction(1, 5)}
  assert [(part.name, part.weight) for part in mean.parts] == [('text', Fraction(4, 5)), ('code', Fraction(1, 5))]
  assert schedule.describe() == [['0', '1', [['text', '1', '3/5'], ['web', '0', '2/5']]]]


def test_the_mean_tree_weighs_parts_by_what_their_group_draws():
  schedule = MixtureSchedule(
    [(0, {'text': 0.5, 'code': (0.5, {'web': 1, 'markup': 0})}), (0.5, {'text': 0, 'code': (1, {'web': 0, 'markup': 1})})]
  )
  code = schedule.mean().parts[1]
  assert code.weight == Fraction(3, 4)
  assert [(part.name, part.weight) for part in code.parts] == [('web', Fraction(1, 3)), ('markup', Fraction(2, 3))]


def test_knots_in_tokens_are_fractions_of_the_stage():
  schedule = MixtureSchedule(((0, 'text'), (50e9, 'code')), unit='tokens')
  assert schedule.mean(200e9).shares() == {'text': Fraction(1, 4), 'code': Fraction(3, 4)}
  assert [span.begin for span in schedule.segments(200e9)] == [0, Fraction(1, 4)]
  with pytest.raises(UserError, match='knot 2 stands at 5e.10 .tokens., and the stage ends at 4e.10'):
    schedule.segments(40e9)
  with pytest.raises(UserError, match='needs the tokens of the stage'):
    schedule.segments()


def test_a_schedule_names_what_is_evaluated_and_resolves_every_knot():
  schedule = MixtureSchedule(
    [(0, {'text': 1, 'paloma': 0, 'go': 0}), (0.5, by_documents({'java': 1, 'go': 1}))]
  )
  assert schedule.drawn() == ['text', 'java', 'go']
  assert schedule.evaluated_only() == ['paloma']
  with pytest.raises(UserError, match='given by documents'):
    schedule.mean()
  resolved = schedule.resolve({'java': Fraction(1), 'go': Fraction(3)})
  assert {name: share for name, share in resolved.mean().shares().items() if share} == {
    'text': Fraction(1, 2), 'java': Fraction(1, 8), 'go': Fraction(3, 8)
  }


@pytest.mark.parametrize(
  ('given', 'says'),
  [
    ({'knots': ()}, 'MixtureSchedule.knots is ()'),
    ({'knots': {'a': 1}}, 'it is a list of pairs (where, mixture)'),
    ({'knots': ((0.0, 'a'), 'b')}, "knots[1] is 'b'; it is a pair (where, mixture)"),
    ({'knots': ((0.1, 'a'),)}, 'begins at 0.1; the first knot stands at 0'),
    ({'knots': ((0, 'a'), (0.5, 'b'), (0.5, 'c'))}, 'knot 3 stands at 0.5, not after the one before it at 0.5'),
    ({'knots': ((0, 'a'), (-0.5, 'b'))}, 'the place of knot 2 is -0.5'),
    ({'knots': ((0, 'a'), (1.0, 'b'))}, 'knot 2 stands at 1 (fraction), and the stage ends at 1'),
    ({'knots': ((0, 'a'), (1.5, 'b')), 'interpolation': 'linear'}, 'knot 2 stands at 1.5'),
    ({'knots': ((0, 'a'), (0.5, {'a': 0.5, 'b': 0.6}))}, 'knot 2 (at 0.5): the weights a=0.5, b=0.6 sum to 1.1, not 1'),
    ({'knots': ((0, {'g': (1, {'a': 2})}),)}, 'knot 1 (at 0) > g'),
    ({'knots': ((0, 'a'),), 'interpolation': 'lineal'}, "Did you mean 'linear'?"),
    ({'knots': ((0, 'a'),), 'unit': 'steps'}, 'it is one of fraction, tokens'),
  ],
)
def test_schedules_that_make_no_sense_are_refused_with_the_knot(given, says):
  with pytest.raises(UserError) as refused:
    MixtureSchedule(**given)
  assert says in str(refused.value)
  assert '\n' not in str(refused.value)


def test_a_name_is_a_source_at_all_knots_or_a_group_at_all():
  with pytest.raises(UserError, match="'code' is a source at one knot"):
    MixtureSchedule([(0, 'code'), (0.5, {'code': (1, 'web')})]).mean()


def test_a_mixture_is_hashable_plain_data():
  assert len({in_ratio({'a': 1, 'b': 2}), in_ratio({'a': 2, 'b': 4}), Mixture('x', Fraction(1))}) == 2
