"""Programs are timed in turn; what only warms up does not count."""

from codemix.benchmarks import measuring


def test_all_run_in_turn_and_the_turns_that_warm_up_do_not_count(monkeypatch):
  ran = []
  clock = {'a': iter([100, 100, 3, 1, 2]), 'b': iter([100, 100, 5, 6, 4])}

  def seconds(run):
    return next(clock[run()])

  def note(name):
    ran.append(name)
    return name

  monkeypatch.setattr(measuring, 'seconds', seconds)
  runs = {name: lambda name=name: note(name) for name in 'ab'}
  assert measuring.medians(runs, repeats=3, warm_up=2) == {'a': 2, 'b': 5}
  assert ran == ['a', 'b'] * 5


def test_a_mesh_of_one_device_has_one_wherever_there_are_more():
  assert measuring.one_device_mesh().size == 1
