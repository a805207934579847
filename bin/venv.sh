# Sourced by the other commands: makes .venv in the checkout with llmreq[dev] in it, once, and puts it on PATH.
# Needs a Python from 3.11 on with its venv module, and pip's registry. PYTHON=… chooses another one.

llmreq_find_python() {
  local candidate
  for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "needs Python 3.11 or newer with venv (Debian: apt-get install python3-venv)" >&2
  return 1
}

llmreq_make_venv() {
  # Two commands at once: the second waits for the first one's environment instead of taking it away.
  if command -v flock >/dev/null; then
    exec 9>.venv.lock
    flock 9
  fi
  local stamp=.venv/llmreq-stamp wanted
  # A moved checkout or another pyproject.toml makes the environment anew.
  wanted="$PWD $(cksum <pyproject.toml)"
  if [[ -x .venv/bin/python && -f $stamp && $(<"$stamp") == "$wanted" ]]; then
    return
  fi
  local python
  python=$(llmreq_find_python)
  echo "making .venv with $("$python" --version)" >&2
  rm -rf .venv
  "$python" -m venv .venv
  PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore \
    .venv/bin/python -m pip install --quiet --editable '.[dev]'
  echo "$wanted" >"$stamp"
}

llmreq_make_venv
exec 9>&-
# Nothing of the caller's Python may leak in.
unset PYTHONPATH PYTHONHOME
VIRTUAL_ENV=$PWD/.venv
PATH=$VIRTUAL_ENV/bin:$PATH
export VIRTUAL_ENV PATH
