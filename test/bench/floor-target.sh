# The target's part: arguments FOLDER PORT. Prints when the last byte was unpacked and when the process ran again.
set -euo pipefail
cd "$1"
mkdir -m 700 images
socat -u -b 1048576 "TCP-LISTEN:$2,reuseaddr" - | tar -b 2048 -xf - -C images
copied=$EPOCHREALTIME
runc restore --detach --image-path images --work-path . floor < /dev/null > /dev/null 2> restore.err ||
  { cat restore.err >&2; exit 1; }
echo "$copied $EPOCHREALTIME"
