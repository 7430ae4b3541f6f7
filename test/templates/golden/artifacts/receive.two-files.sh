set -euo pipefail
umask 022
root='/opt/clouder'
store='/opt/clouder/store'
mkdir -p "$store"
# What a killed run left behind.
for left in "$root"/incoming.*; do
  if [ -d "$left" ] && [ ! -d "/proc/${left##*.}" ]; then rm -rf "$left"; fi
done
export CLOUDER_INCOMING=$root/incoming.$$
trap 'rm -rf "$CLOUDER_INCOMING"' EXIT
mkdir -p "$CLOUDER_INCOMING"
cat >"$CLOUDER_INCOMING/digests" <<'DIGESTS'
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-kubelet ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff
bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-criu ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff
DIGESTS
cat >"$CLOUDER_INCOMING/take" <<'TAKE'
set -euo pipefail
# tar runs its commands with no umask at all.
umask 022
file=${TAR_FILENAME##*/}
name=${file%.gz}
key=${name%.tar}
content=$CLOUDER_INCOMING/$key
if [ "$name" = "$key" ]; then
  unpack() { gunzip -c >"$content" && chmod 755 "$content"; }
else
  mkdir "$content"
  unpack() { tar -x -z --no-same-owner -f - -C "$content"; }
fi
# The digest of what arrives, while it is unpacked: a third of the bytes that its content has.
failed=
digest=$({ tee /dev/fd/3 | unpack; } 3>&1 | sha256sum) || failed=yes
if ! grep -qxF "$key ${digest%% *}" "$CLOUDER_INCOMING/digests"; then
  echo "$file arrived with digest ${digest%% *}" >&2
  exit 1
fi
if [ -n "$failed" ]; then
  echo "$file could not be unpacked" >&2
  exit 1
fi
find "$content" ! -type d -printf '%y %s %P %l\n' | LC_ALL=C sort | sha256sum >"$content.list"
echo "$key" >>"$CLOUDER_INCOMING/taken"
TAKE
tar -x -f - --to-command="bash '$CLOUDER_INCOMING/take'"
for key in 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-kubelet' 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-criu' ; do
  if ! grep -qxF "$key" "$CLOUDER_INCOMING/taken"; then
    echo "$key did not arrive" >&2
    exit 1
  fi
  find "$CLOUDER_INCOMING/$key" "$CLOUDER_INCOMING/$key.list" -type f -exec sync {} +
  rm -rf "${store:?}/$key"
  mv -T "$CLOUDER_INCOMING/$key" "$store/$key"
  mv -T "$CLOUDER_INCOMING/$key.list" "$store/$key.list"
done
sync "$store"
