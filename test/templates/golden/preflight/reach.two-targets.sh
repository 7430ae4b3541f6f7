set -euo pipefail
# An open port and a refused connection both prove the way; silence does not.
reach() {
  local answer code=0
  answer=$(LC_ALL=C timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>&1) || code=$?
  case $code:$answer in
    0:* | *'Connection refused'*) ;;
    124:*) echo "unreached=$1 $2 no answer within 3 s" ;;
    *) echo "unreached=$1 $2 ${answer##*: }" ;;
  esac
}
reach '10.0.0.2' 6443 &
reach '10.0.0.3' 10250 &
wait
