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
cat >"$CLOUDER_INCOMING/take" <<'TAKE'
set -euo pipefail
# tar runs its commands with no umask at all.
umask 022
file=${TAR_FILENAME##*/}
name=${file%.gz}
key=${name%.tar}
digest=$(gunzip -c | tee "$CLOUDER_INCOMING/content" | sha256sum)
if [ "${digest%% *}" != "${key%%-*}" ]; then
  echo "$file arrived with digest ${digest%% *}" >&2
  exit 1
fi
if [ "$name" = "$key" ]; then
  mv "$CLOUDER_INCOMING/content" "$CLOUDER_INCOMING/$key"
  chmod 755 "$CLOUDER_INCOMING/$key"
else
  mkdir "$CLOUDER_INCOMING/$key"
  tar -x --no-same-owner -f "$CLOUDER_INCOMING/content" -C "$CLOUDER_INCOMING/$key"
  rm "$CLOUDER_INCOMING/content"
fi
find "$CLOUDER_INCOMING/$key" ! -type d -printf '%y %s %P %l\n' | LC_ALL=C sort | sha256sum >"$CLOUDER_INCOMING/$key.list"
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
