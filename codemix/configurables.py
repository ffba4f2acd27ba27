"""The table of everything that a gin file may bind.

The classes do not import gin; a program builds the same objects directly.
"""

from __future__ import annotations

import gin
from codemix.contamination.items import EvaluationSet
from codemix.contamination.layouts import ItemLayout
from codemix.contamination.readings import CodeWindows, WordWindows
from codemix.contamination.settings import Contamination
from codemix.data.corpus.by_language import corpora_by_language
from codemix.data.corpus.corpus import Corpus
from codemix.data.corpus.layouts.commit import Commit
from codemix.data.corpus.layouts.instruction import Instruction
from codemix.data.corpus.layouts.notebook import Notebook
from codemix.data.corpus.layouts.question import Question
from codemix.data.corpus.layouts.template import Template
from codemix.data.corpus.layouts.text import Text
from codemix.data.corpus.layouts.verified import Puzzle, Verified
from codemix.data.corpus.readers.json_array import JsonArray
from codemix.data.corpus.readers.json_lines import JsonLines
from codemix.data.corpus.readers.parquet import Parquet
from codemix.data.corpus.readers.posts_xml import PostsXml
from codemix.data.corpus.readers.tfds import Tfds
from codemix.data.corpus.readers.tfrecords import TFRecords
from codemix.data.corpus.readers.tsv import Tsv
from codemix.data.corpus.readers.whole_files import WholeFiles
from codemix.data.corpus.variants import variants
from codemix.data.filters import (
  Encoding,
  ExactDuplicates,
  Extensions,
  GeneratedBy,
  HexLiterals,
  Languages,
  MaxFloats,
  Sets,
  Size,
  TopLevelDomainLists,
)
from codemix.data.filters.parses import Parses
from codemix.data.filters.passes_tests import PassesTests
from codemix.data.filters.runs import Runs
from codemix.data.languages import language_shares
from codemix.data.local_corpora.standard_library import standard_library
from codemix.data.mixtures.forms import (
  additive_tokens,
  by_documents,
  competitive,
  in_ratio,
  swap,
  uniform,
)
from codemix.data.mixtures.schedule import MixtureSchedule
from codemix.data.seqio.mixtures import seqio_mixture
from codemix.data.settings import Data
from codemix.data.transformations import (
  NormalizeIndentation,
  OnlyComments,
  RemoveComments,
  RenameIdentifiers,
  ShuffleLines,
  ShuffleTokens,
)
from codemix.evaluation.judge.judge import Judge
from codemix.evaluation.tasks.evaluation import Evaluation
from codemix.evaluation.tasks.own import answer_task, choice_task, text_task
from codemix.grid import grid
from codemix.inference.components import Components
from codemix.models.config import ModelConfig
from codemix.models.decoding import Decoding
from codemix.parallel.mesh import MeshConfig
from codemix.parallel.sharding import ShardingRules
from codemix.planner.power_settings import Power
from codemix.sandbox.limits import Limits
from codemix.studies.claim import Claim
from codemix.studies.pilot import Pilot
from codemix.studies.recipe import Recipe, Study
from codemix.studies.sweep import sweep
from codemix.training.handoff import Handoff
from codemix.training.optimizer import Optimizer
from codemix.training.runtime import Runtime
from codemix.training.schedules import (
  Constant,
  LinearTo,
  WarmupCosine,
  WarmupInverseSqrt,
  WarmupStableDecay,
)
from codemix.training.skips import Skips
from codemix.training.stage import Stage
from codemix.workers import Beam, InProcess, Processes

_DATA = (
  *(Commit, Corpus, Instruction, JsonArray, JsonLines, Notebook, Parquet, PostsXml, Puzzle, Question, Template, Text),
  *(TFRecords, Tfds, Tsv, Verified, WholeFiles, corpora_by_language, standard_library, variants),
  *(Encoding, ExactDuplicates, Extensions, GeneratedBy, HexLiterals, Languages, MaxFloats, Sets, Size),
  *(Parses, TopLevelDomainLists, PassesTests, Runs, Limits),
  *(Beam, Data, InProcess, Processes),
)
_MIXTURES = (
  *(MixtureSchedule, additive_tokens, by_documents, competitive, in_ratio, language_shares),
  *(seqio_mixture, swap, uniform),
)
_EVALUATION = (Decoding, Evaluation, Judge, answer_task, choice_task, text_task)
_POWER = (Claim, Components, Pilot, Power)
_CONTAMINATION = (Contamination, EvaluationSet, ItemLayout, CodeWindows, WordWindows)
_TRAINING = (
  *(Constant, LinearTo, WarmupCosine, WarmupInverseSqrt, WarmupStableDecay),
  *(Handoff, Skips, Stage, Optimizer, ModelConfig, MeshConfig, ShardingRules, Runtime, Recipe, Study, grid, sweep),
)
# Behind the others: a mistyped `--gin.seed` is answered with the first that has the parameter, Recipe.seed.
_TRANSFORMATIONS = (NormalizeIndentation, OnlyComments, RemoveComments, RenameIdentifiers, ShuffleLines, ShuffleTokens)

for _configurable in (*_DATA, *_MIXTURES, *_CONTAMINATION, *_TRAINING, *_EVALUATION, *_POWER, *_TRANSFORMATIONS):
  gin.external_configurable(_configurable, module='codemix')
