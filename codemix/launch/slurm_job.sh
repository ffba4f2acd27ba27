# What follows is the same in all batch files of codemix. It runs `work`, and then `again` where a new start helps.
# $task: the number of the job; $record: names files on all nodes; $restarts: starts after failures, at most; 0: it never starts again.

field() { scontrol show job "$task" --oneliner | sed -n "s/.* $1=\([^ ]*\).*/\1/p"; }

# A stop that SLURM asked for is no failure.
count_failure() {
  local failures
  failures=$(($(cat "$record.failures" 2>/dev/null || echo 0) + 1))
  echo "$failures" >"$record.failures"
  [ "$failures" -le "$restarts" ] && return
  echo "$restarts starts after failures are all that --restarts allows: the job does not start again"
  return 1
}

# The processes are asked to save some time before the limit. At the limit SLURM ends this script with them, so it starts the job again before that.
before_the_limit() {
  local at left
  while at=$(field EndTime) && [ -n "$at" ] && at=$(date -d "$at" +%s) && left=$((at - $(date +%s) - 30)); do
    if [ "$left" -le 0 ]; then
      echo 'the processes do not end before the time limit'
      if count_failure; then
        : >"$codes/again"
        again
      fi
      return
    fi
    sleep "$left"
  done
}

# After `scancel`, and not when SLURM itself ends a job, for its time limit, for another job or for a lost node.
cancelled() { [ "$(field Reason)" = None ] && [ "$(field PreemptTime)" = None ] && [ "$(field JobState)" != RUNNING ]; }

codes=$record-$SLURM_JOB_ID
rm -rf "$codes"
mkdir -p "$codes"
if [ -z "${CODEMIX_AGAIN:-}" ] && [ "${SLURM_RESTART_COUNT:-0}" = 0 ]; then
  rm -f "$record.failures"
fi
trap : TERM
before_the_limit &
limit=$!
work
code=$?
[ -e "$codes/again" ] || kill "$limit" 2>/dev/null
wait "$limit"
[ -e "$codes/again" ] && exit "$code"
# SLURM has the highest code of the processes, or one of its own. The one that no new start helps against counts, and the others are
# what it led to.
final='' saved='' lost=''
for file in "$codes"/*; do
  read -r one <"$file" || continue
  case $one in
    0) ;;
    @LOST@) lost=$one ;;
    @SAVED@) saved=$one ;;
    *) final=$one ;;
  esac
done
rm -rf "$codes"
if [ "$code" != 0 ]; then
  code=${final:-${saved:-${lost:-$code}}}
fi
case $code in
  @SAVED@) [ "$restarts" -gt 0 ] || exit "$code" ;;
  @LOST@) count_failure || exit "$code" ;;
  *) exit "$code" ;;
esac
if cancelled; then
  echo 'the job was cancelled, so it does not start again: sbatch of its file, or codemix launch slurm with the same flags, goes on'
else
  again
fi
exit "$code"
