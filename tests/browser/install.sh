#!/bin/sh
# Install what the tests of the gateway's page need: Debian's Chromium with its driver, and, in the
# folder $1 (beside the virtual environment $2 is of, unless it is given), selenium from PyPI and axe-core from npm.
set -u
python=${2:-.venv/bin/python}
folder=${1:-$("$python" -c 'import sys; print(sys.prefix)')/browser}
. "$(dirname "$0")/../install.sh"

wanted chromium chromium
wanted chromedriver chromium-driver
wanted npm npm
install_wanted "a browser"
mkdir -p "$folder"
if [ ! -d "$folder/python/selenium" ]; then
    "$python" -m pip install --quiet --disable-pip-version-check --target "$folder/python" \
        'selenium>=4.45,<5' || echo "a browser: not installed: pip could not fetch selenium"
fi
if [ ! -e "$folder/node_modules/axe-core/axe.min.js" ]; then
    npm install --silent --no-audit --no-fund --prefix "$folder" axe-core@4 ||
        echo "a browser: not installed: npm could not fetch axe-core"
fi
