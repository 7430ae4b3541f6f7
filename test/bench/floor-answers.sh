# Asks a process for an answer over and over: arguments FIRST|LAST STOP PORT ADDRESS, or POD in the place of an address,
# whose address on this node is looked for first. FIRST prints when the first answer came, and ends. LAST prints when the
# last one had come, once the file STOP is there.
which=$1 stop=$2 port=$3 place=$4
rm -f "$stop"
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
last=
while ! [ -e "$stop" ]; do
  line=
  if { exec 3<> "/dev/tcp/$address/$port"; } 2> /dev/null; then
    printf 'GET / HTTP/1.0\r\n\r\n' >&3
    read -r -t 0.3 line <&3
    now=$EPOCHREALTIME
    exec 3>&-
  fi
  case $line in
    HTTP/1.*' 200 '*)
      last=$now
      [ "$which" = FIRST ] && break
      ;;
  esac
  sleep 0.005
done
echo "$last"
