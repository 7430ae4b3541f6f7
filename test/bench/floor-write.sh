# What the disk of a node takes: arguments IMAGES FILE. Writes the images to a file there, as they are, until the disk has
# them, and prints when that began and ended.
set -euo pipefail
began=$EPOCHREALTIME
tar -b 2048 -cf - -C "$1" . | dd of="$2" bs=4M iflag=fullblock conv=fsync status=none
echo "$began $EPOCHREALTIME"
rm -f "$2"
