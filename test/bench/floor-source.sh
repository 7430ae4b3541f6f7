# The source's part of the floor: arguments FOLDER ADDRESS PORT; the process runs as `floor`. Prints when the dump began,
# when it had ended, and when the last byte was sent. Nothing is encrypted, verified or kept.
set -euo pipefail
cd "$1"
mkdir -m 700 images
began=$EPOCHREALTIME
runc checkpoint --image-path images --work-path . floor 2> dump.err || { cat dump.err >&2; exit 1; }
dumped=$EPOCHREALTIME
tar -b 2048 -cf - -C images . | socat -u -b 1048576 - "TCP:$2:$3"
echo "$began $dumped $EPOCHREALTIME"
