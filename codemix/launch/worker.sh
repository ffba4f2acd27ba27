#!/bin/bash
# On a TPU VM: starts this machine's process of a run so that it outlives the connection, and reports on it.
# Usage: worker.sh start SCRIPT TOKEN   starts SCRIPT; once for each TOKEN, since gcloud repeats a command whose connection broke
#        worker.sh follow BYTES         shows the log of the last start without its first BYTES, until the process ends; says BYTES first
#        worker.sh end                  waits for the end; prints the log of the last start and the exit code
#        worker.sh stop                 asks the process to save and stop; then like end
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
ending_s=${CODEMIX_ENDING_S:-150} # the other processes end within a minute; after SIGTERM all save first

running() { [ -e pid ] && [ ! -e code ] && kill -0 "$(cat pid)" 2>/dev/null; }

end() {
  local left=$ending_s
  while running && [ "$left" -gt 0 ]; do
    sleep 1
    left=$((left - 1))
  done
  if running; then
    kill -KILL "$(cat pid)"
  fi
  for _ in 1 2 3 4 5 6 7 8 9 10; do # the code is written just after the end
    [ -e code ] || sleep 0.2
  done
  tail -c "+$(cat from)" log | sed "s/^/$(uname -n): /"
  # Without a code the machine was started again, and its process is gone.
  echo "codemix-ended $(uname -n) $(cat code 2>/dev/null || echo 137)"
}

case $1 in
  start)
    exec 9>lock
    flock 9
    if [ "$(cat token 2>/dev/null)" = "$3" ]; then
      exit
    fi
    if running; then
      if [ "$(cat script)" != "$2" ]; then
        echo "another run is in progress on $(uname -n); end it first, or give this one another --name" >&2
        exit 2
      fi
    else
      rm -f pid code
      mkdir -p files
      touch log
      echo $(($(wc -c <log) + 1)) >from
      echo "$2" >script
      (
        export CODEMIX_FOLDER=$PWD/files PATH=$PWD/env/bin:$PATH
        if [ -e secrets ]; then
          # shellcheck disable=SC1091
          . ./secrets
        fi
        # shellcheck disable=SC2016
        exec setsid bash -c 'bash "$0" & echo $! >pid; wait $!; echo $? >code' "$2"
      ) >>log 2>&1 </dev/null 9>&- &
      until [ -s pid ]; do sleep 0.1; done
    fi
    echo "$3" >token
    ;;
  follow)
    echo "codemix-from $2"
    exec tail -c "+$(($(cat from) + $2))" --follow --pid="$(cat pid)" --sleep-interval=1 log
    ;;
  end)
    end
    ;;
  stop)
    if running; then
      kill -TERM "$(cat pid)"
    fi
    end
    ;;
esac
