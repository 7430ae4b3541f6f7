# Asks a process for an answer over and over: arguments FIRST|LAST STOP PORT ADDRESS, or POD in the place of an address,
# whose address on this node is looked for first. FIRST prints when the first answer came, and ends. LAST prints when the
# last one had come, once the file STOP is there.
which=$1 stop=$2 port=$3 place=$4
rm -f "$stop" "$stop.$which"
address=$place
if ! [[ $place =~ ^[0-9.]+$ ]]; then
  address=
  while [ -z "$address" ] && ! [ -e "$stop" ]; do
    # libcni keeps there what it gave to each pod, from the moment that its network is up.
    given=$(grep -ls "\"K8S_POD_NAME\",\"$place\"" /var/lib/cni/results/cbr0-* | head -n 1)
    [ -z "$given" ] || address=$(sed -n 's/.*"address":"\([0-9.]*\)\/.*/\1/p' "$given" | head -n 1)
    [ -n "$address" ] || sleep 0.02
  done
fi
# Sets `last` when an answer comes.
ask() {
  local line=
  if { exec 3<> "/dev/tcp/$address/$port"; } 2> /dev/null; then
    printf 'GET / HTTP/1.0\r\n\r\n' >&3
    read -r -t 0.3 line <&3
    now=$EPOCHREALTIME
    exec 3>&-
  fi
  case $line in
    HTTP/1.*' 200 '*) last=$now ;;
  esac
}
# CRIU drops packets until the process is restored, and who connects then tries again a second later by itself: one
# attempt does not wait for another.
attempt() {
  last=
  ask
  [ -z "$last" ] || { set -o noclobber && echo "$last" > "$stop.$which"; }
}
last=
while ! [ -e "$stop" ] && ! [ -s "$stop.$which" ]; do
  if [ "$which" = FIRST ]; then
    attempt > /dev/null 2>&1 < /dev/null &
    sleep 0.02
  else
    ask
    sleep 0.005
  fi
done
[ "$which" = LAST ] || last=$(cat "$stop.$which" 2> /dev/null)
echo "$last"
jobs -p | xargs -r kill 2> /dev/null
rm -f "$stop.$which"
