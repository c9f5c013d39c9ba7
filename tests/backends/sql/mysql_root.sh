#!/usr/bin/env bash
# Makes a system with MySQL in a folder, from Debian's unstable branch, which alone has it. Needs root and debootstrap.
# With TEST_MYSQL_ROOT=<the folder>, the tests of databases run on it, too.
set -euo pipefail
debootstrap --variant=minbase --include=mysql-server-core sid "$1" "${2:-http://deb.debian.org/debian}"
