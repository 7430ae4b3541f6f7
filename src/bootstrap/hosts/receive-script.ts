/** Exit code of the receive script when what arrived is not what was sent. */
export const digestMismatchCode = 65

/**
 * Puts stdin into a file: `$1` path, `$2` mode, `$3` size in bytes, `$4` hex sha256. The file gets its name only when
 * all of it arrived and is on disk. The temporary name is always the same, so that a killed run leaves at most one.
 */
export const receiveScript = `set -euo pipefail
dir=$(dirname -- "$1")
mkdir -p -- "$dir"
temporary=$dir/.$(basename -- "$1").clouder-new
rm -f -- "$temporary"
free=$(df --output=avail -B1 -- "$dir" | tail -n 1)
if [ "$free" -lt "$3" ]; then
  echo "No space left on device: $dir has $free bytes, $3 are needed" >&2
  exit 1
fi
trap 'rm -f -- "$temporary"' EXIT
( umask 077; set -o noclobber; : >"$temporary" )
got=$(tee -- "$temporary" | sha256sum)
got=\${got%% *}
if [ "$got" != "$4" ]; then
  echo "expected sha256 $4, got $got" >&2
  exit ${digestMismatchCode}
fi
chmod -- "$2" "$temporary"
sync -- "$temporary"
mv -fT -- "$temporary" "$1"
sync -- "$dir"
`
