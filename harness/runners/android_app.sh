# Starts upstream's benchmark app with some flags, waits for what it logs, and keeps the log.
#
# Arguments: a mark, seconds to wait, the folder for results, then flags; @@NAME@@ in a flag becomes a file's path.
# Ends with 0: results came; 3: not installed; 4: not started; 5: it failed or died; 6: nothing in time; 7: a blank;
# 8: no Android.
mark=$1 limit=$2 out=$3
shift 3
app=org.tensorflow.lite.benchmark

# The app is another user, and may be forbidden to follow links here.
path_of() { readlink -f "$1" 2>/dev/null || echo "$(pwd)/$1"; }
chmod 755 . inputs 2>/dev/null

args=
for rest in "$@"; do
  flag=
  while :; do
    case $rest in
      *@@*@@*)
        flag=$flag${rest%%@@*} rest=${rest#*@@}
        flag=$flag$(path_of "${rest%%@@*}") rest=${rest#*@@}
        ;;
      *) break ;;
    esac
  done
  flag=$flag$rest
  # The app splits its arguments at blanks, and knows no quotes.
  case $flag in
    *" "*) echo "a flag with a blank: $flag" >&2; exit 7 ;;
  esac
  args="$args${args:+ }$flag"
done

command -v pm >/dev/null 2>&1 || exit 8
apk=$(pm path "$app" 2>/dev/null)
apk=${apk#package:}
apk=${apk%%
*}
[ -n "$apk" ] || exit 3
sha256sum "$apk" >"$out/apk.sha256" 2>/dev/null
dumpsys package "$app" 2>/dev/null | grep versionName >"$out/version.txt"

# The log is not cleared, other people read it too: a mark tells where this run begins.
log -t tflite "harness $mark"
logcat -v brief -s tflite:V >"$out/logcat.txt" 2>/dev/null &
reader=$!
finish() {
  kill "$reader" 2>/dev/null
  am force-stop "$app" >/dev/null 2>&1
}
trap finish EXIT
trap 'exit 143' HUP INT TERM

am start -S -n "$app/.BenchmarkModelActivity" --es args "$args" >"$out/am.txt" 2>&1 || exit 4
grep -q '^Error' "$out/am.txt" && exit 4

said() { sed -n "/harness $mark/,\$p" "$out/logcat.txt"; }

alive= waited=0
while [ "$waited" -lt "$limit" ]; do
  sleep 1
  waited=$((waited + 1))
  # Gone: its last words are in the log a moment later at most.
  gone=
  if pidof "$app" >/dev/null 2>&1; then
    alive=yes
  elif [ -n "$alive" ]; then
    gone=yes
    sleep 1
  fi
  case $(said) in
    *"Failed to load model"* | *"Failed to initialize the interpreter"* | *"Failed to apply "* | \
      *"Failed to allocate tensors"* | *"Disallowed CPU fallback"* | *"failed to invoke"* | \
      *"Failed to parse flag"* | *"Signature not specified"* | *"Signature key is specified"*)
      exit 5
      ;;
    *"Inference timings in us"*)
      # Memory figures follow.
      sleep 1
      exit 0
      ;;
  esac
  [ -z "$gone" ] || exit 5
done
exit 6
