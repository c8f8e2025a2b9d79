#!/bin/sh
# Builds the sdist, the wheel from the sdist, and sends a rehearsal with the wheel in an environment
# in which there is nothing else. Usage: try_wheel.sh [PYTHON]
set -eu
cd "$(dirname "$0")/.."
python=${1:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$python" -m venv "$folder/build"
"$folder/build/bin/pip" install --quiet --disable-pip-version-check -c constraints.txt hatchling
"$folder/build/bin/python" -m hatchling build -t sdist -d "$folder"
"$folder/build/bin/pip" wheel --quiet --disable-pip-version-check --no-deps -w "$folder" \
    "$folder"/petition-*.tar.gz

"$python" -m venv "$folder/clean"
"$folder/clean/bin/pip" install --quiet --disable-pip-version-check -c constraints.txt \
    "$folder"/petition-*.whl

export XDG_STATE_HOME="$folder/state"
cd "$folder"
PATH="$folder/clean/bin:$PATH"
petition init campaign
cd campaign
petition check
petition send open-letter
petition status open-letter
test "$(find outbox/new -type f | wc -l)" -eq 3
echo "The wheel works: $(petition --version)"
